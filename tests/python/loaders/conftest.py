"""A shop to read from, a warehouse to load into, and a look at what arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from arrivals import Arrived
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from loaders.connections import open_mongodb, open_postgres
from loaders.documents import encoding
from loaders.landing import Result
from loaders.modes import Mode, run
from loaders.settings import Settings
from sandbox.replay import ReplayServer

COLUMNS = "_id, doc::text, _source_ts, _loaded_at, _batch_id, _deleted_at, _doc_hash"


@dataclass
class Warehouse:
    """The database under test and the questions that the tests ask of it."""

    settings: Settings
    conn: psycopg.Connection

    def load(self, *collections: str, mode: Mode = Mode.AUTO, **options: Any) -> list[Result]:
        return run(self.settings, collections, mode, **options)

    def rows(self, collection: str) -> dict[str, tuple[Any, ...]]:
        """All columns of the raw table, by `_id`."""
        found = self.conn.execute(f'select {COLUMNS} from raw."{collection}"').fetchall()
        return {row[0]: row for row in found}

    def state(self, collection: str) -> dict[str, tuple[str, str, bool]]:
        """What two runs must agree on, whenever they ran: (doc, hash, is deleted) by `_id`."""
        rows = self.rows(collection).values()
        return {row[0]: (row[1], row[6], row[5] is not None) for row in rows}

    def docs(self, collection: str) -> dict[str, Any]:
        """Documents that are not deleted, by `_id`."""
        return {
            row[0]: json.loads(row[1]) for row in self.rows(collection).values() if row[5] is None
        }

    def source_hashes(self, database: Database[dict[str, Any]], collection: str) -> dict[str, str]:
        """Each document's hash in the source, by its name in raw."""
        options = CodecOptions(document_class=RawBSONDocument)
        return {
            encoding.identity_of(document.raw): encoding.hash_of(document.raw)
            for document in database[collection].with_options(options).find({})
        }

    def equals(self, database: Database[dict[str, Any]], collection: str = "orders") -> bool:
        """True if raw has just the documents of the source, each in the version it has there."""
        live = {row[0]: row[6] for row in self.rows(collection).values() if row[5] is None}
        return live == self.source_hashes(database, collection)

    def mirrors(self, server: ReplayServer, collection: str = "orders") -> bool:
        """`equals`, for documents that a server has in memory."""
        live = {row[0]: row[6] for row in self.rows(collection).values() if row[5] is None}
        documents = server.collections[f"shop.{collection}"].raw
        return live == {encoding.identity_of(raw): encoding.hash_of(raw) for raw in documents}

    def one(self, query: str, *values: Any) -> Any:
        """The only value of the only row."""
        [(value,)] = self.conn.execute(query, values).fetchall()
        return value

    def all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.conn.execute(query, values).fetchall()


@pytest.fixture
def shop(mongo_database: object) -> Iterator[Database[dict[str, Any]]]:
    """An empty MongoDB database."""
    database = open_mongodb(Settings())
    with database.client:
        yield database


@pytest.fixture
def warehouse(pg_database: object, shop: Database[dict[str, Any]]) -> Iterator[Warehouse]:
    """An empty Postgres database, and the settings that lead to it and to `shop`."""
    settings = Settings()
    with open_postgres(settings, autocommit=True) as conn:
        yield Warehouse(settings, conn)


@pytest.fixture
def replay_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplayServer]:
    """A source in memory, for documents and faults that a real server can't be made to have.

    Its database `shop` is empty; the environment leads to it.
    """
    with ReplayServer() as server:
        monkeypatch.setenv("MONGODB_URI", server.uri)
        monkeypatch.setenv("MONGODB_DATABASE", "shop")
        yield server


@pytest.fixture
def replayed(pg_database: object, replay_server: ReplayServer) -> Iterator[Warehouse]:
    """An empty Postgres database, and the settings that lead to it and to `replay_server`."""
    settings = Settings()
    with open_postgres(settings, autocommit=True) as conn:
        yield Warehouse(settings, conn)


@pytest.fixture(scope="module")
def loaded(servers: Settings, request: pytest.FixtureRequest) -> Iterator[Callable[..., Arrived]]:
    """All collections of the module's `SOURCE`, loaded; gives one by its name."""
    with request.module.SOURCE.loaded(servers) as arrived:
        yield arrived


@pytest.fixture
def arrived(loaded: Callable[..., Arrived], request: pytest.FixtureRequest) -> Arrived:
    """What the test's own collection became in raw."""
    return loaded(request.node.originalname)
