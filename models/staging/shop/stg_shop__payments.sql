-- One row per payment attempt in an order document.
{{ config(
    unique_key='order_id',
    meta={'element_position': 'position'},
    indexes=[
        {'columns': ['order_id', 'position'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('payment_id', 'text', 'id'),
    ('method', 'code', 'method'),
    ('provider', 'code', 'provider'),
    ('status', 'code', 'status'),
    ('error', 'text', 'error'),
    ('amount', 'number', 'amount'),
    ('fee', 'number', 'fee'),
    ('paid_at', 'timestamp', 'at'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'orders')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'payments', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position']) }}

),

final as (

    select
        document_id as order_id,
        element_position as position,
        payment_id,
        method,
        provider,
        status,
        error,
        amount,
        fee,
        paid_at,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
