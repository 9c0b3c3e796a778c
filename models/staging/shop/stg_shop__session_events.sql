-- One row per event of a session document.
{{ config(
    unique_key='session_id',
    meta={'element_position': 'event_position'},
    indexes=[
        {'columns': ['session_id', 'event_position'], 'unique': true},
        {'columns': ['order_id']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('event_type', 'code', 'type'),
    ('product_id', 'id', 'product_id'),
    ('order_id', 'id', 'order_id'),
    ('quantity', 'number', 'qty'),
    ('value', 'number', 'value'),
    ('event_at', 'timestamp', 'at'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'sessions')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'events', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position']) }}

),

final as (

    select
        document_id as session_id,
        element_position as event_position,
        event_type,
        product_id,
        order_id,
        quantity,
        value,
        event_at,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
