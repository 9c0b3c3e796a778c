{% macro create_touch_log() -%}
    {{- return(adapter.dispatch('create_touch_log', 'ledgerline')()) -}}
{%- endmacro %}

{% macro postgres__create_touch_log() -%}
    {%- if flags.WHICH in ('run', 'build', 'test', 'seed') -%}
    create schema if not exists {{ touch_log('touched').schema }};

    create table if not exists {{ touch_log('touched') }} (
        touch_id bigint generated always as identity,
        model text not null,
        entity text not null,
        entity_id text not null
    );
    create index if not exists touched_by_model on {{ touch_log('touched') }} (model, touch_id);
    comment on table {{ touch_log('touched') }} is
        'One row per entity of which a model''s rows changed; * stands for all. Kept until all models that read the model have taken it over.';

    create table if not exists {{ touch_log('built') }} (
        model text not null,
        parent text not null,
        touch_id bigint not null,
        checksum text,
        primary key (model, parent)
    );
    comment on table {{ touch_log('built') }} is
        'One row per model and what it reads: the newest touch of the parent that the model has taken over, and the checksum of the seed or of the model''s own SQL. Of a view and a seed one row: what it was made of.';

    create table if not exists {{ touch_log('tested') }} (
        test text not null,
        model text not null,
        touch_id bigint not null,
        all_at timestamp with time zone,
        primary key (test, model)
    );
    comment on table {{ touch_log('tested') }} is
        'One row per data test and model that it reads: the newest touch that it has passed, and when it last read all rows.'
    {%- endif -%}
{%- endmacro %}

{% macro default__create_touch_log() -%}
{%- endmacro %}
