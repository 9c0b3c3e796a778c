-- What the documents' fields look like over time (`loaders.drift.observe`). Paths, types and counts only:
-- no value of a document is kept here.

create table if not exists ops.field_samples (
    collection   text not null,
    batch_id     bigint not null,
    observed_at  timestamptz not null default clock_timestamp(),
    documents    integer not null,
    fields       integer not null,
    fields_cut   integer not null,
    total        bigint not null,
    seconds      real not null,
    primary key (collection, batch_id)
);
comment on table ops.field_samples is
    'One row per look at what was loaded; it covers all batches since the collection''s last one.';
comment on column ops.field_samples.documents is
    'Documents looked at; 0 where the look was given up since it took too long.';
comment on column ops.field_samples.fields_cut is
    'Fields that were not noted, the rarest, since there were too many.';
comment on column ops.field_samples.total is 'Documents looked at since the first look.';

create table if not exists ops.fields (
    collection         text not null,
    path               text not null,
    first_batch_id     bigint not null,
    first_seen_at      timestamptz not null,
    observed_batch_id  bigint not null,
    types              text[] not null,
    unseen             bigint not null default 0,
    primary key (collection, path)
);
comment on table ops.fields is 'One row per collection and field, as it is now.';
comment on column ops.fields.path is
    'a.b is a field of an object, a[] the elements of an array, a.* the values of a map whose keys '
    'are data; a key that could be mistaken for more stands in double quotes.';
comment on column ops.fields.observed_batch_id is 'Its newest rows in ops.field_types.';
comment on column ops.fields.types is 'Every type that it ever had.';
comment on column ops.fields.unseen is 'Documents looked at since it was seen last.';

create table if not exists ops.field_types (
    collection   text not null,
    path         text not null,
    batch_id     bigint not null,
    type         text not null,
    observed_at  timestamptz not null,
    sampled      integer not null,
    present      integer not null,
    documents    integer not null,
    occurrences  bigint not null,
    primary key (collection, path, batch_id, type)
);
comment on table ops.field_types is
    'One row per field, observation and type. A field is noted again when it changed materially or '
    'after a day; nothing is deleted.';
comment on column ops.field_types.type is
    'The BSON type by its $type alias, after a colon what its text looks like (string:number) or '
    'what else is odd (double:NaN, also for infinities; date:beyond the years 1 to 9999); absent '
    'where no document had the field.';
comment on column ops.field_types.sampled is 'Documents looked at.';
comment on column ops.field_types.present is 'Those that have the field, whatever its type.';
comment on column ops.field_types.documents is 'Those that have it with this type.';
comment on column ops.field_types.occurrences is 'Values of this type: an array has several.';

create table if not exists ops.schema_changes (
    collection  text not null,
    path        text not null,
    kind        text not null,
    before      text not null,
    after       text not null,
    batch_id    bigint not null,
    seen_at     timestamptz not null,
    example_id  text,
    primary key (collection, path, kind, batch_id)
);
comment on table ops.schema_changes is
    'Fields that are new, came back, vanished, or have another type than before.';
comment on column ops.schema_changes.kind is 'new, returned, vanished, new type, type share or map.';
comment on column ops.schema_changes.example_id is 'A document that shows it; null if vanished.';

create or replace function ops.path_step(key text) returns text
language sql immutable parallel safe
return case
    when key ~ '^[A-Za-z_$][A-Za-z0-9_$-]*$' and length(key) < 24 then '.' || key
    -- keys that are data: numbers, ids, dates, addresses
    when key ~ '^[0-9]+$|^[0-9a-fA-F]{24,}$|^[0-9]{4}-[0-9]{2}|@'
        or key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
        then '.*'
    when key ~ '^[A-Za-z_$][A-Za-z0-9_$-]*$' then '.' || key
    -- not to_json: it is only stable, and a function that calls it isn't inlined
    else '."' || replace(replace(key, '\', '\\'), '"', '\"') || '"'
end;
comment on function ops.path_step is 'One key as a step of a path in ops.fields.';

create or replace function ops.text_type(value text, is_string boolean) returns text
language sql immutable parallel safe
return case
    when value ~ '^[g-zG-Z]' then case
        when lower(trim(value)) in ('true', 't', 'yes', 'y', 'no', 'n', 'on', 'off')
            then 'string:boolean'
        else 'string'
    end
    when value = '' then 'string:empty'
    when not is_string
        and value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{6})?Z$'
        then 'date'
    when not is_string and value ~ '^[0-9a-f]{24}$' then 'objectId'
    when length(value) > 50 then 'string'
    -- as macros/casts/text_to_number.sql, without the 1,234 that can be two numbers
    when trim(both U&' \0009\000A\000D\00A0' from value) ~ '^[+-]?([0-9]{1,30}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?$|^[+-]?[0-9]{1,3}((,[0-9]{3}){1,9}\.[0-9]{1,20}|(,[0-9]{3}){2,9})$|^[+-]?[0-9]{1,3}((\.[0-9]{3}){1,9},[0-9]{1,20}|(\.[0-9]{3}){2,9})$|^(?![+-]?[1-9][0-9]{0,2},[0-9]{3}$)[+-]?[0-9]{1,30},[0-9]{1,20}$'
        then 'string:number'
    -- as macros/casts/text_to_timestamp.sql: year first or day first, with or without a clock
    when trim(value) ~ '^((?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])|(0?[1-9]|[12][0-9]|3[01])/(0?[1-9]|1[0-2])/(?!0000)[0-9]{4})([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?( ?(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?))?)?$'
        then 'string:date'
    when lower(trim(value)) in ('false', 'f') then 'string:boolean'
    else 'string'
end;
comment on function ops.text_type is
    'objectId, date, string, or string: and what a cast could make of it. is_string: it is a '
    'string for certain, even if it looks like one of the loader''s ids or dates.';

create or replace function ops.bson_type(kind text, value jsonb, content text, told text)
returns text
language sql immutable parallel safe
return case
    when told is not null then
        case
            when told = 'string' then ops.text_type(content, true)
            when kind = 'string' then split_part(told, ':', 1) || ':NaN'  -- or an infinity
            else split_part(told, ':', 1)
        end
    when kind = 'string' then ops.text_type(content, false)
    when kind = 'number' then case
        when strpos(content, '.') > 0 then 'double'
        when length(content) < 10 or cast(value as numeric) between -2147483648 and 2147483647
            then 'int'
        else 'long'
    end
    when kind = 'boolean' then 'bool'
    when kind = 'special' then case
        when value ? '$date' then 'date:beyond'
        when value ? '$binary' then 'binData'
        when value ? '$regularExpression' then 'regex'
        when value ? '$timestamp' then 'timestamp'
        when value ? '$minKey' then 'minKey'
        when value ? '$maxKey' then 'maxKey'
        else 'javascript'
    end
    else kind
end;
comment on function ops.bson_type is
    'The type of one value in raw, by its BSON $type alias. kind: jsonb_typeof, or special for an '
    'Extended JSON object; content: value as text; told: what _types says of it, if anything.';
