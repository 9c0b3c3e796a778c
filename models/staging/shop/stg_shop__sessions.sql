-- One row per web session document, bots among them.
{{ config(
    unique_key='session_id',
    indexes=[
        {'columns': ['session_id'], 'unique': true},
        {'columns': ['visitor_id']},
        {'columns': ['user_id']},
        {'columns': ['started_at']},
        {'columns': ['device']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('visitor_id', 'text', 'visitor_id'),
    ('user_id', 'id', 'user_id'),
    ('device', 'code', 'device'),
    ('os', 'text', 'os'),
    ('country', 'text', ['geo.country', 'geo']),
    ('landing', 'text', 'landing'),
    ('referrer', 'text', 'referrer'),
    ('utm_source', 'text', 'utm.source'),
    ('utm_medium', 'text', 'utm.medium'),
    ('utm_campaign', 'text', 'utm.campaign'),
    ('utm_term', 'text', 'utm.term'),
    ('utm_content', 'text', 'utm.content'),
    ('has_consent', 'boolean', 'consent'),
    ('is_bot', 'boolean', 'is_bot'),
    ('started_at', 'timestamp', 'started_at'),
    ('ended_at', 'timestamp', 'ended_at'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'sessions')) }}

),

typed as (

    {{ json_to_columns('documents', 'doc', columns, ['document_id', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as session_id,
        visitor_id,
        user_id,
        device,
        os,
        country,
        landing,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
        has_consent,
        is_bot,
        started_at,
        ended_at,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
