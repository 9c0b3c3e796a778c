-- Full loads in progress: their rows are in schema `shadow`, committed chunk by chunk, and become
-- raw's in one transaction at the end.
create schema if not exists shadow;

create table if not exists ops.snapshots (
    collection  text primary key,
    run_id      uuid not null,
    source      text not null,
    encoding    integer not null,
    tally       text not null,
    position    bytea,
    token       bytea,
    clock       timestamptz not null,
    started_at  timestamptz not null,
    saved_at    timestamptz not null
);
comment on table ops.snapshots is 'Where an unfinished full load goes on.';
comment on column ops.snapshots.encoding is 'Version of loaders.documents.encoding that wrote the rows.';
comment on column ops.snapshots.tally is 'JSON: what was read so far (loaders.tally).';
comment on column ops.snapshots.position is
    'BSON {_id: …} of the last document in the shadow table; null before the first.';
comment on column ops.snapshots.token is
    'Resume token of the change stream from before the first document; null without one.';
comment on column ops.snapshots.clock is 'The source''s clock before the first document.';
