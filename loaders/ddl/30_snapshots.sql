-- Full loads in progress: their rows are in schema `shadow`, committed batch by batch, and become
-- raw's in one transaction at the end.
create schema if not exists shadow;

create table if not exists ops.snapshots (
    collection    text primary key,
    run_id        uuid not null,
    source        text not null,
    encoding      integer not null,
    position      bytea,
    documents     bigint not null,
    bytes         bigint not null,
    token         bytea,
    cluster_time  bytea,
    clock         timestamptz not null,
    started_at    timestamptz not null,
    saved_at      timestamptz not null
);
comment on table ops.snapshots is 'Where an unfinished full load goes on.';
comment on column ops.snapshots.position is 'BSON {_id: …} of the last document in the shadow table.';
