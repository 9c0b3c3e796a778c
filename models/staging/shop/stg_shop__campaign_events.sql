-- One row per campaign event document: an impression, click, send, open or charge.
{{ config(
    unique_key='event_id',
    indexes=[
        {'columns': ['event_id'], 'unique': true},
        {'columns': ['session_id']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('campaign_id', 'id', 'campaign_id'),
    ('event_type', 'code', 'type'),
    ('user_id', 'id', 'user_id'),
    ('visitor_id', 'text', 'visitor_id'),
    ('session_id', 'id', 'session_id'),
    ('device', 'code', 'device'),
    ('country', 'text', ['geo.country', 'geo']),
    ('cost', 'number', 'cost'),
    ('event_at', 'timestamp', 'at'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'campaign_events')) }}

),

typed as (

    {{ json_to_columns('documents', 'doc', columns, ['document_id', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as event_id,
        campaign_id,
        event_type,
        user_id,
        visitor_id,
        session_id,
        device,
        country,
        cost,
        event_at,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
