-- One row per entry of an order document's status history.
{{ config(
    unique_key='order_id',
    meta={'element_position': 'seq'},
    indexes=[
        {'columns': ['order_id', 'seq'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('status', 'code', 'status'),
    ('changed_by', 'text', 'by'),
    ('status_at', 'timestamp', 'at'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'orders')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'status_history', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position']) }}

),

final as (

    select
        document_id as order_id,
        element_position as seq,
        replace(status, 'canceled', 'cancelled') as status,
        changed_by,
        status_at,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
