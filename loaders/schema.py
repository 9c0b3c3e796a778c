"""The tables of `raw` and `ops`. `ensure` makes what is missing and is safe to run at any time.

`raw.<collection>` holds one row per document, `_id` as in `loaders.documents.encoding`:

    _id          text primary key     an ObjectId's hex, every other id its JSON text
    doc          jsonb                the whole document
    _types       text                 BSON types that doc doesn't show; null for nearly all
    _source_ts   timestamptz          its updated_at; null where that is missing or no date
    _loaded_at   timestamptz          when this version arrived; grows with every commit
    _batch_id    bigint               -> ops.load_runs
    _deleted_at  timestamptz          when it was found to be gone from the source
    _doc_hash    text                 BLAKE2b-128 of the document's BSON bytes
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import psycopg
from psycopg import sql

COLLECTIONS = (
    "users",
    "products",
    "orders",
    "reviews",
    "campaigns",
    "campaign_events",
    "campaign_daily",
    "sessions",
    "inventory_movements",
    "support_tickets",
    "exchange_rates",
)

MAX_IDENTIFIER_BYTES = 63  # Postgres cuts longer names off without an error
LOCK_NAMESPACE = "ledgerline.loaders"
DDL = Path(__file__).parent / "ddl"

_RAW = """
create table raw.{table} (
    _id          text constraint {key} primary key,
    doc          jsonb not null,
    _types       text,
    _source_ts   timestamptz,
    _loaded_at   timestamptz not null,
    _batch_id    bigint not null,
    _deleted_at  timestamptz,
    _doc_hash    text not null
);
create index on raw.{table} (_loaded_at);
create index {index} on raw.{table} (_source_ts);
comment on table raw.{table} is {comment};
"""

# what a raw table made by an earlier version lacks
_LATER = """
alter table raw.{table} add column if not exists _types text;
create index if not exists {index} on raw.{table} (_source_ts);
"""


def table_name(collection: str) -> str:
    """The raw table of a collection: its name, or the start of a long one and a hash."""
    if len(collection.encode()) <= MAX_IDENTIFIER_BYTES:
        return collection
    digest = hashlib.blake2b(collection.encode(), digest_size=4).hexdigest()
    return collection.encode()[:52].decode(errors="ignore") + "_" + digest


def index_names(table: str) -> dict[str, sql.Identifier]:
    """What a raw table's primary key (`key`) and its index on the clock (`index`) are called.

    As Postgres calls them, but for long names: what it cuts off may be all that two tables differ
    in, and a table that comes from another schema brings its indexes' names along.
    """
    return {
        "key": sql.Identifier(table_name(f"{table}_pkey")),
        "index": sql.Identifier(table_name(f"{table}__source_ts_idx")),
    }


def ensure(conn: psycopg.Connection, collections: Iterable[str] = ()) -> None:
    """Make the schemas, the ops tables and a raw table for each known and each given collection.

    Takes no lock that a running load or a reader would notice when nothing is missing.
    Commits, unless the caller is inside a transaction.
    """
    with conn.transaction():
        # two sessions that create the same schema at once would fail on the catalogue's key
        conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [LOCK_NAMESPACE])
        _ensure_books(conn)
        existing = {
            name
            for (name,) in conn.execute(
                "select tablename from pg_catalog.pg_tables where schemaname = 'raw'"
            )
        }
        for collection in dict.fromkeys((*COLLECTIONS, *collections)):
            table = table_name(collection)
            if table not in existing:
                statement = sql.SQL(_RAW).format(
                    table=sql.Identifier(table),
                    **index_names(table),
                    comment=sql.Literal(f"Documents of the collection {collection}, whole."),
                )
                conn.execute(statement)


def _ensure_books(conn: psycopg.Connection) -> None:
    """Run the files of `ddl/` if any has changed since they were run here.

    Their digest is the comment of schema ops; raw tables of an earlier version get what they lack.
    """
    statements = "\n".join(file.read_text("utf-8") for file in sorted(DDL.glob("*.sql")))
    digest = hashlib.blake2b(statements.encode(), digest_size=8).hexdigest()
    known = conn.execute(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'ops'"
    ).fetchone()
    if known == (digest,):
        return
    conn.execute(statements)
    for (table,) in conn.execute(
        "select tablename from pg_catalog.pg_tables where schemaname = 'raw'"
    ).fetchall():
        conn.execute(sql.SQL(_LATER).format(table=sql.Identifier(table), **index_names(table)))
    conn.execute(sql.SQL("comment on schema ops is {}").format(sql.Literal(digest)))
