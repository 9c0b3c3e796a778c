-- The loader's books. Every statement can run again: `loaders.schema.ensure` runs all files of this
-- folder, in the order of their names, whenever one of them has changed.

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
alter table ops.load_runs add column if not exists bytes bigint not null default 0;
alter table ops.load_runs add column if not exists lag_seconds numeric;
alter table ops.load_runs add column if not exists days_differing integer;
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
comment on column ops.load_runs.bytes is 'BSON bytes read.';
comment on column ops.load_runs.lag_seconds is
    'From the newest change that the batch took over to its commit, by the source''s clock.';
comment on column ops.load_runs.days_differing is
    'Days of ops.reconciliation, of those compared in this batch, on which the sides differ.';

create table if not exists ops.watermarks (
    collection      text primary key,
    watermark_ts    timestamptz,
    watermark_id    text,
    last_loaded_at  timestamptz not null,
    last_sweep_at   timestamptz
);
alter table ops.watermarks add column if not exists raw_count bigint;
alter table ops.watermarks add column if not exists deleted_count bigint;
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
