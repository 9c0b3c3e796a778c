-- Change streams: where each of them is.
create table if not exists ops.streams (
    source      text primary key,
    token       bytea not null,
    token_time  timestamptz,
    saved_at    timestamptz not null,
    batch_id    bigint
);
alter table ops.streams add column if not exists collections text[] not null default '{}';
comment on table ops.streams is
    'Resume tokens of `load --mode follow`, written in the transaction of the rows they cover.';
comment on column ops.streams.source is
    'host:port/database, and the collections if only some are followed.';
comment on column ops.streams.token is 'BSON; all events up to it are in raw.';
comment on column ops.streams.token_time is 'Cluster time of the newest event that was taken over.';
comment on column ops.streams.collections is
    'Collections that were brought up to date when the stream began, or came with it.';
comment on column ops.streams.batch_id is 'The last batch that the token was saved with.';
