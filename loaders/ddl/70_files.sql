-- What `ledgerline files load` read.
create table if not exists ops.load_files (
    batch_id     bigint not null,
    collection   text not null,
    entity       text not null,
    file         text not null,
    lines        bigint not null,
    documents    bigint not null,
    merged       bigint not null,
    quarantined  bigint not null,
    bytes        bigint not null,
    hash         text not null,
    encoding     text,
    delimiter    text,
    header       jsonb not null,
    remarks      text[] not null,
    primary key (batch_id, entity, file)
);
comment on table ops.load_files is
    'One row per batch and file: lines = documents + merged + quarantined.';
comment on column ops.load_files.documents is
    'Lines that became a document of their own, whether raw had it already or not.';
comment on column ops.load_files.merged is
    'Items within their order, and lines that only repeat another one.';
comment on column ops.load_files.hash is 'BLAKE2b-128 of the file''s bytes.';
comment on column ops.load_files.header is
    'fields: field of ours -> its column; rest: the other columns, kept under attrs.';
comment on column ops.load_files.remarks is
    'How the header differs from that of its kind''s other files and of the load before.';
