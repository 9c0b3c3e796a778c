-- Change streams: one per source database.
create table if not exists ops.streams (
    source      text primary key,
    token       bytea not null,
    token_time  timestamptz,
    saved_at    timestamptz not null,
    batch_id    bigint
);
comment on table ops.streams is
    'The resume token of `load --mode follow`, written in the transaction of the rows it covers.';
comment on column ops.streams.token_time is 'Cluster time of the newest event that was taken over.';
