"""Small collections that are loaded once for a whole test module, each way that there is.

    SOURCE = Arrivals()

    @SOURCE.has({"_id": 1, "v": float("nan")}, {"_id": 2})
    def test_nan_is_kept(arrived):
        assert arrived.value(1) == '"NaN"'

The documents of a test are a collection of its name. What arrived is compared with the source byte
by byte before the test begins: it only says how a value looks in Postgres.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import bson
import psycopg
from databases import drop_database
from psycopg import sql
from pydantic import SecretStr
from raw_bson import content

from loaders.connections import open_postgres
from loaders.documents import decoding, encoding
from loaders.modes import Mode, run
from loaders.schema import table_name
from loaders.settings import Settings
from sandbox.replay import ReplayServer

Test = TypeVar("Test", bound=Callable[..., None])

FIRST = {"_id": "the first one"}  # with which a collection isn't a new one any more
CHANGED = " (changed)"


@dataclass
class Row:
    """One document in raw."""

    doc: str
    types: str | None
    source: bytes
    bson: bytes


class Arrived:
    """The rows of one collection, by the name of the document."""

    def __init__(self, conn: psycopg.Connection, collection: str, source: list[bytes]) -> None:
        self._conn = conn
        self._table = sql.Identifier("raw", table_name(collection))
        self._collection = collection
        self.reasons = self._notes("altered_documents")
        self.quarantined = self._notes("quarantine")
        self.kept = dict(self._ask("select _id, bson from ops.altered_documents"))
        sources = {encoding.identity_of(document): document for document in source}
        found = self._conn.execute(
            sql.SQL("select _id, doc::text, _types from {} where _deleted_at is null").format(
                self._table
            )
        )
        self.rows = {
            name: Row(
                doc, types, sources[name], self.kept.get(name) or decoding.decode(name, doc, types)
            )
            for name, doc, types in found
        }
        assert len(sources) == len(source) == len(self.rows) + len(self.quarantined)

    def value(self, identity: Any, path: str = "v") -> str:
        """A field of a document as the text of its jsonb."""
        name = encoding.identity_of(bson.encode({"_id": identity}))
        query = sql.SQL("select (doc -> {})::text from {} where _id = {}").format(
            sql.Literal(path), self._table, sql.Literal(name)
        )
        [(value,)] = self._conn.execute(query).fetchall()
        return value

    def _notes(self, table: str) -> dict[str, str]:
        return dict(self._ask(f"select _id, reason from ops.{table}"))

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return self._conn.execute(f"{query} where collection = %s", [self._collection]).fetchall()


class Arrivals:
    """The collections of a test module."""

    def __init__(self) -> None:
        self.documents: dict[str, list[bytes]] = {}

    def has(self, *documents: bytes | Mapping[str, Any]) -> Callable[[Test], Test]:
        """Decorates a test: these documents are its collection."""

        def register(test: Test) -> Test:
            raw = [one if isinstance(one, bytes) else bson.encode(one) for one in documents]
            self.documents[test.__name__] = raw
            return test

        return register

    @contextmanager
    def loaded(self, servers: Settings) -> Iterator[Callable[[str], Arrived]]:
        """Load everything: as new collections, and as changes of ones that were loaded before.

        Yields:
            What gives the rows of a collection, after comparing them with the source.
        """
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(**servers.postgres("postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        collections = {f"shop.{test}": raw for test, raw in self.documents.items()}
        before = {f"shop.{test}{CHANGED}": [FIRST] for test in self.documents}
        with ReplayServer(collections | before) as server:
            source = {"mongodb_uri": SecretStr(server.uri), "mongodb_database": "shop"}
            settings = servers.model_copy(update={"postgres_db": name} | source)
            results = {each.collection: each for each in run(settings)}
            for test, raw in self.documents.items():
                server.put(f"shop.{test}{CHANGED}", [bson.encode(FIRST), *raw])
            changed = [test + CHANGED for test in self.documents]
            results |= {each.collection: each for each in run(settings, changed, Mode.SWEEP)}
            with open_postgres(settings, autocommit=True) as conn:

                def arrived(test: str) -> Arrived:
                    rows = Arrived(conn, test, self.documents[test])
                    changed = Arrived(
                        conn, test + CHANGED, [bson.encode(FIRST), *self.documents[test]]
                    )
                    del changed.rows[encoding.identity_of(bson.encode(FIRST))]
                    assert changed.rows == rows.rows
                    assert changed.reasons == rows.reasons
                    assert changed.quarantined.keys() == rows.quarantined.keys()
                    for row in rows.rows.values():
                        assert row.bson == row.source or content(row.bson) == content(row.source)
                    assert all(results[name].is_reconciled for name in (test, test + CHANGED))
                    return rows

                yield arrived
        drop_database(servers, name)
