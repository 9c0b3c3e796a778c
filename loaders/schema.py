"""The tables of `raw` and `ops`. `ensure` makes what is missing and is safe to run at any time.

`raw.<collection>` holds one row per document, `_id` as in `loaders.encoding`:

    _id          text primary key     an ObjectId's hex, every other id its JSON text
    doc          jsonb                the whole document
    _source_ts   timestamptz          its updated_at; null where that is missing or no date
    _loaded_at   timestamptz          when this version arrived; grows with every commit
    _batch_id    bigint               -> ops.load_runs
    _deleted_at  timestamptz          when it was found to be gone from the source
    _doc_hash    text                 BLAKE2b-128 of the document's BSON bytes
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

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

_OPS = """
create schema if not exists raw;
create schema if not exists ops;

create sequence if not exists ops.batch_id;

create table if not exists ops.load_runs (
    batch_id      bigint primary key,
    run_id        uuid not null,
    collection    text not null,
    mode          text not null,
    status        text not null,
    started_at    timestamptz not null,
    finished_at   timestamptz not null,
    source_count  bigint,
    raw_count     bigint,
    read          bigint not null default 0,
    inserted      bigint not null default 0,
    updated       bigint not null default 0,
    unchanged     bigint not null default 0,
    deleted       bigint not null default 0,
    quarantined   bigint not null default 0,
    altered       bigint not null default 0,
    unclocked     bigint not null default 0,
    watermark_ts  timestamptz,
    watermark_id  text,
    source_hash   numeric,
    raw_hash      numeric,
    error         text
);
comment on table ops.load_runs is
    'One row per collection and batch. A finished batch is written in the transaction of its rows.';
comment on column ops.load_runs.source_count is 'Documents in the source, counted at the end.';
comment on column ops.load_runs.raw_count is 'Rows of the raw table that are not deleted.';
comment on column ops.load_runs.quarantined is
    'Documents that the source has and raw has not: source_count = raw_count + quarantined.';
comment on column ops.load_runs.altered is
    'Stored documents that differ from the source (ops.altered_documents).';
comment on column ops.load_runs.unclocked is
    'Documents read in this batch whose updated_at is missing or no date.';
comment on column ops.load_runs.source_hash is
    'Sum of the documents'' hashes, whatever their order; null where not all of them were read.';

create table if not exists ops.watermarks (
    collection      text primary key,
    watermark_ts    timestamptz,
    watermark_id    text,
    last_loaded_at  timestamptz not null,
    last_sweep_at   timestamptz
);
comment on table ops.watermarks is
    'How far each collection was read; last_sweep_at is the last time that all of it was.';

create table if not exists ops.quarantine (
    collection      text not null,
    _id             text not null,
    reason          text not null,
    bson            bytea not null,
    _doc_hash       text not null,
    quarantined_at  timestamptz not null,
    batch_id        bigint not null,
    primary key (collection, _id)
);
comment on table ops.quarantine is
    'Documents whose newest version could not be stored, until one can be or the source drops it.';

create table if not exists ops.altered_documents (
    collection  text not null,
    _id         text not null,
    reason      text not null,
    bson        bytea not null,
    _doc_hash   text not null,
    altered_at  timestamptz not null,
    batch_id    bigint not null,
    primary key (collection, _id)
);
comment on table ops.altered_documents is
    'Original bytes of stored documents that jsonb could not hold unchanged.';
"""

_RAW = """
create table raw.{table} (
    _id          text primary key,
    doc          jsonb not null,
    _source_ts   timestamptz,
    _loaded_at   timestamptz not null,
    _batch_id    bigint not null,
    _deleted_at  timestamptz,
    _doc_hash    text not null
);
create index on raw.{table} (_loaded_at);
comment on table raw.{table} is {comment};
"""


def table_name(collection: str) -> str:
    """The raw table of a collection: its name, or the start of a long one and a hash."""
    if len(collection.encode()) <= MAX_IDENTIFIER_BYTES:
        return collection
    digest = hashlib.blake2b(collection.encode(), digest_size=4).hexdigest()
    return collection.encode()[:52].decode(errors="ignore") + "_" + digest


def ensure(conn: psycopg.Connection, collections: Iterable[str] = ()) -> None:
    """Make the schemas, the ops tables and a raw table for each known and each given collection.

    Takes no lock that a running load or a reader would notice when nothing is missing.
    Commits, unless the caller is inside a transaction.
    """
    with conn.transaction():
        # two sessions that create the same schema at once would fail on the catalogue's key
        conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [LOCK_NAMESPACE])
        if conn.execute("select to_regclass('ops.altered_documents')").fetchone() == (None,):
            conn.execute(_OPS)
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
                    comment=sql.Literal(f"Documents of the collection {collection}, whole."),
                )
                conn.execute(statement)
