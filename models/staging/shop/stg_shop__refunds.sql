-- One row per refund in an order document.
{{ config(
    unique_key='order_id',
    meta={'element_position': 'position'},
    indexes=[
        {'columns': ['order_id', 'position'], 'unique': true},
        {'columns': ['method']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('refund_id', 'text', 'id'),
    ('reason', 'text', 'reason'),
    ('method', 'code', 'method'),
    ('shipping_amount', 'number', 'shipping'),
    ('adjustment_amount', 'number', 'adjustment'),
    ('refunded_at', 'timestamp', 'at'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'orders')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'refunds', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position']) }}

),

final as (

    select
        document_id as order_id,
        element_position as position,
        refund_id,
        reason,
        method,
        shipping_amount,
        adjustment_amount,
        refunded_at,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
