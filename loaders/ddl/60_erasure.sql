-- People whose personal data was erased: how to recognise them when the source brings them back, and
-- who asked for it. Nothing here is personal data in plain.
create table if not exists ops.erasure_key (
    is_only     boolean primary key default true check (is_only),
    inner_pad   bytea not null,
    outer_pad   bytea not null,
    created_at  timestamptz not null default clock_timestamp()
);
revoke all on ops.erasure_key from public;
comment on table ops.erasure_key is
    'The secret of the keyed hashes (HMAC-SHA256), made once. Whoever may read it can test guesses.';
comment on column ops.erasure_key.inner_pad is 'The secret xor 64 bytes of 0x36, as HMAC needs it.';
comment on column ops.erasure_key.outer_pad is 'The secret xor 64 bytes of 0x5c.';

create table if not exists ops.erasures (
    kind       text not null,
    key_hash   bytea not null,
    subject    text not null,
    erased_at  timestamptz not null,
    primary key (kind, key_hash)
);
create index if not exists erasures_subject on ops.erasures (subject);
comment on table ops.erasures is
    'What an erased person''s documents are recognised by; every load looks here.';
comment on column ops.erasures.kind is 'account, email, phone, order, session or visitor.';
comment on column ops.erasures.key_hash is 'Keyed hash of kind and value.';
comment on column ops.erasures.subject is 'Random name of the person: in the log and in pseudonyms.';

create table if not exists ops.erasure_log (
    erasure_id     bigint generated always as identity primary key,
    erased_at      timestamptz not null,
    subject        text not null,
    subject_kind   text not null,
    rows           jsonb not null,
    reason         text,
    database_user  text not null,
    os_user    text not null
);
comment on table ops.erasure_log is 'One line per erasure: who did it, when, why and to how many rows.';
comment on column ops.erasure_log.subject is 'Random name of the person, as in ops.erasures.';
comment on column ops.erasure_log.subject_kind is 'What the person was named by: account.';
comment on column ops.erasure_log.rows is 'Table -> rows from which personal data was removed.';
comment on column ops.erasure_log.reason is 'The request or ticket, as given.';
