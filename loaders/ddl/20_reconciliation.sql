create table if not exists ops.reconciliation (
    collection    text not null,
    day           date,
    source_count  bigint not null,
    source_hash   numeric not null,
    raw_count     bigint not null,
    raw_hash      numeric not null,
    is_whole_day  boolean not null,
    compared_at   timestamptz not null,
    batch_id      bigint not null,
    unique nulls not distinct (collection, day)
);
comment on table ops.reconciliation is
    'Source against raw by collection and day, as of the last batch that had something new to say.';
comment on column ops.reconciliation.day is
    'UTC day of updated_at; null for documents whose updated_at is missing or no date.';
comment on column ops.reconciliation.source_hash is
    'Sum of the first 60 bits of the documents'' hashes, whatever their order.';
comment on column ops.reconciliation.is_whole_day is
    'False where the batch read the day''s end only, from the watermark less the overlap on.';
