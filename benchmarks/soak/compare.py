"""Is raw what the source is? Asked in ways that owe nothing to the loader's own books."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import bson
import psycopg
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from psycopg import sql
from pymongo.database import Database

from benchmarks.soak.documents import SHARES, is_altered, is_quarantined
from loaders.documents.decoding import decode
from loaders.documents.encoding import VERSION, identity_of

PATIENCE_SECONDS = 10.0  # what Postgres may take to notice that a loader was killed
SHOWN = 5  # ids in a message

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
_EXACT = CodecOptions[dict[str, Any]](datetime_conversion=DatetimeConversion.DATETIME_MS)

# Everything that a batch holds while it works, and must not leave behind.
_REMAINS = {
    "advisory locks": "select count(*) from pg_locks where locktype = 'advisory'",
    "temporary tables": "select count(*) from pg_class where relname like 'ledgerline%'",
    "prepared transactions": "select count(*) from pg_prepared_xacts",
    "sessions of loaders": """
        select count(*) from pg_stat_activity where application_name = 'ledgerline loader'
        and backend_type = 'client backend' and pid <> pg_backend_pid()
    """,
}


def findings(
    conn: psycopg.Connection, database: Database[dict[str, Any]], *, may_be_unfinished: bool
) -> list[str]:
    """All that is wrong, a line each; nothing if raw equals the source.

    Args:
        conn: autocommit, and not a loader's by its name.
        database: the shop; nobody writes meanwhile.
        may_be_unfinished: a full load that was killed may wait for another one.
    """
    found = [line for name in SHARES for line in _of_collection(conn, database, name)]
    return found + _remains(conn) + _shadows(conn, may_be_unfinished=may_be_unfinished)


def _of_collection(
    conn: psycopg.Connection, database: Database[dict[str, Any]], name: str
) -> list[str]:
    documents = [bytes(one.raw) for one in database.get_collection(name, _RAW).find({})]
    hashes = {identity_of(data): hash_of(data) for data in documents}
    decoded = {identity_of(data): bson.decode(data, _EXACT) for data in documents}
    bad = {key for key, document in decoded.items() if is_quarantined(document)}
    altered = {key for key, document in decoded.items() if is_altered(document)}
    live = _rows(conn, "select _id, _doc_hash from {} where _deleted_at is null", name)
    found = [] if len(hashes) == len(documents) else ["two documents have one name"]
    found += _differences(
        "raw",
        {key: hash_ for key, hash_ in live.items() if key not in bad},
        {key: hash_ for key, hash_ in hashes.items() if key not in bad},
    )
    restored = _restored(conn, name)
    found += _differences(
        "decoded, raw",
        restored,
        {key: _text(document) for key, document in decoded.items()},
        # what raw has of the one is an earlier version or nothing, of the other not all of it
        ignore=bad | altered,
    )
    found += _differences(
        "ops.quarantine",
        _rows(conn, "select _id, _doc_hash from ops.quarantine where collection = %s", name),
        {key: hashes[key] for key in bad},
    )
    found += _differences(
        "ops.altered_documents",
        _rows(conn, "select _id, _doc_hash from ops.altered_documents where collection = %s", name),
        # deleted ones too: the bytes go with the row
        _rows(conn, "select _id, _doc_hash from {} where doc ? 'nul'", name),
    )
    if wrong := [
        key
        for notes in ("quarantine", "altered_documents")
        for key, data, hash_ in conn.execute(
            f"select _id, bson, _doc_hash from ops.{notes} where collection = %s", [name]
        )
        if hash_of(data) != hash_
    ]:
        found.append(f"other bytes kept than those of the hash: {_some(wrong)}")
    return [f"{name}: {line}" for line in found + _books(conn, database, name)]


def _books(conn: psycopg.Connection, database: Database[dict[str, Any]], name: str) -> list[str]:
    """What `ops` says, against the rows themselves."""
    found = []
    rows, live, batches, unknown, mixed = _row(
        conn,
        """
        select count(*), count(*) filter (where _deleted_at is null), count(distinct _batch_id),
            count(*) filter (where not exists (select from ops.load_runs as run
                where run.batch_id = raw._batch_id and run.collection = %(name)s
                    and run.status = 'done')),
            count(distinct (_batch_id, _loaded_at)) - count(distinct _batch_id)
        from {table} as raw
        """,
        name,
    )
    inserted, counted, watermark = _row(
        conn,
        """
        select (select coalesce(sum(inserted), 0) from ops.load_runs
                where collection = %(name)s and status = 'done'),
            (select raw_count from ops.watermarks where collection = %(name)s),
            (select watermark_ts from ops.watermarks where collection = %(name)s)
        """,
        name,
    )
    if unknown:
        found.append(f"{unknown} rows of a batch that ops.load_runs doesn't have")
    if mixed:
        found.append(f"{mixed} of {batches} batches have more than one _loaded_at")
    if rows != inserted:
        found.append(f"{rows} rows, but the runs that are done inserted {inserted}")
    if live != counted:
        found.append(f"{live} live rows, but ops.watermarks counts {counted}")
    now = database.client.admin.command("hello")["localTime"]
    if watermark is not None and watermark.replace(tzinfo=None) > now:
        found.append(f"the watermark {watermark} is later than the source's clock {now}")
    [(backwards,)] = conn.execute(
        sql.SQL(
            """
            select count(*) from (
                select min(_loaded_at) <= lag(max(_loaded_at)) over (order by _batch_id) as is_late
                from {} group by _batch_id) as batches where is_late
            """
        ).format(sql.Identifier("raw", name))
    ).fetchall()
    if backwards:
        found.append(f"{backwards} batches have an earlier _loaded_at than the one before")
    [(indexes,)] = conn.execute(
        "select count(*) from pg_indexes where schemaname = 'raw' and tablename = %s", [name]
    ).fetchall()
    if indexes != 3:
        found.append(f"raw has {indexes} indexes, not 3")
    return found


def _restored(conn: psycopg.Connection, name: str) -> dict[str, str]:
    """The live rows turned back into the documents that they stand for."""
    query = "select _id, doc::text, _types from {} where _deleted_at is null"
    rows = conn.execute(sql.SQL(query).format(sql.Identifier("raw", name)))
    return {key: _text(bson.decode(decode(key, doc, types), _EXACT)) for key, doc, types in rows}


def _text(document: dict[str, Any]) -> str:
    """With the type of every value, and the keys in one order: jsonb keeps none."""
    return json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS, sort_keys=True)


def _remains(conn: psycopg.Connection) -> list[str]:
    found = []
    end = time.monotonic() + PATIENCE_SECONDS
    for what, query in _REMAINS.items():
        while number := _one(conn, query):
            if time.monotonic() > end:
                found.append(f"{number} {what} left behind")
                break
            time.sleep(0.1)
    return found


def _shadows(conn: psycopg.Connection, *, may_be_unfinished: bool) -> list[str]:
    """Shadow tables belong to full loads that are to be gone on with."""
    tables = {
        name.partition(":")[0]
        for (name,) in conn.execute("select tablename from pg_tables where schemaname = 'shadow'")
    }
    unfinished = {name for (name,) in conn.execute("select collection from ops.snapshots")}
    found = []
    if tables != unfinished:
        found.append(f"shadow tables of {sorted(tables)}, unfinished are {sorted(unfinished)}")
    if unfinished and not may_be_unfinished:
        found.append(f"unfinished full loads after a finished one: {sorted(unfinished)}")
    return found


class Reader:
    """Reads raw as a model does: again and again what has a later `_loaded_at` than it has seen."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, tuple[Any, ...]]] = {name: {} for name in SHARES}
        self.seen: dict[str, Any] = dict.fromkeys(SHARES, "-infinity")

    def read(self, conn: psycopg.Connection) -> None:
        """Take what is new."""
        for name, rows in self.rows.items():
            new = conn.execute(
                sql.SQL(
                    "select _id, _doc_hash, _deleted_at, _loaded_at from {} where _loaded_at > %s"
                ).format(sql.Identifier("raw", name)),
                [self.seen[name]],
            ).fetchall()
            rows.update({row[0]: row for row in new})
            self.seen[name] = max((row[3] for row in new), default=self.seen[name])

    def findings(self, conn: psycopg.Connection) -> list[str]:
        """Where it has something else than raw now."""
        self.read(conn)
        found = []
        for name, rows in self.rows.items():
            query = sql.SQL("select _id, _doc_hash, _deleted_at, _loaded_at from {}")
            raw = conn.execute(query.format(sql.Identifier("raw", name))).fetchall()
            lines = _differences("a reader by _loaded_at", rows, {row[0]: row for row in raw})
            found += [f"{name}: {line}" for line in lines]
        return found


def hash_of(document: bytes) -> str:
    """What `_doc_hash` is documented to be."""
    return blake2b(document, digest_size=16, person=b"ledgerline %d" % VERSION).hexdigest()


def _differences(
    what: str, have: dict[str, Any], want: dict[str, Any], ignore: Iterable[str] = ()
) -> list[str]:
    keys = (have.keys() | want.keys()) - set(ignore)
    kinds = {
        "lacks": [key for key in keys if key not in have],
        "has, though the source hasn't:": [key for key in keys if key not in want],
        "has another version of": [
            key for key in keys if key in have and key in want and have[key] != want[key]
        ],
    }
    return [f"{what} {kind} {_some(ids)}" for kind, ids in kinds.items() if ids]


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(f"{key:.60}" for key in sorted(ids)[:SHOWN])
    return f"{len(ids)} documents: {shown}{', …' if len(ids) > SHOWN else ''}"


def _rows(conn: psycopg.Connection, query: str, name: str) -> dict[str, Any]:
    """The two columns of a query; ids that come twice are told apart by a mark."""
    found = conn.execute(
        sql.SQL(query).format(sql.Identifier("raw", name)), [name] if "%s" in query else None
    ).fetchall()
    times = Counter(key for key, _ in found)
    return {key if times[key] == 1 else f"{key} (twice)": value for key, value in found}


def _row(conn: psycopg.Connection, query: str, name: str) -> Any:
    statement = sql.SQL(query).format(table=sql.Identifier("raw", name))
    return conn.execute(statement, {"name": name}).fetchone()


def _one(conn: psycopg.Connection, query: str) -> int:
    row = conn.execute(query).fetchone()
    assert row is not None
    return row[0]
