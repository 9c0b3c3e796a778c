-- One row per support ticket document.
{{ config(
    unique_key='ticket_id',
    indexes=[
        {'columns': ['ticket_id'], 'unique': true},
        {'columns': ['order_id']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('user_id', 'id', 'user_id'),
    ('order_id', 'id', 'order_id'),
    ('topic', 'text', 'topic'),
    ('csat', 'number', 'csat'),
    ('opened_at', 'timestamp', 'at'),
    ('resolved_at', 'timestamp', 'resolved_at'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'support_tickets')) }}

),

typed as (

    {{ json_to_columns('documents', 'doc', columns, ['document_id', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as ticket_id,
        user_id,
        order_id,
        topic,
        csat,
        opened_at,
        resolved_at,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
