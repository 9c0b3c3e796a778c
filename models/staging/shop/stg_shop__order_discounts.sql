-- One row per discount on a whole order document.
{{ config(
    unique_key='order_id',
    meta={'element_position': 'position'},
    indexes=[
        {'columns': ['order_id', 'position'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('code', 'text', 'code'),
    ('kind', 'code', ['kind', 'type']),
    ('amount', 'number', 'amount'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'orders')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'discounts', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position']) }}

),

final as (

    select
        document_id as order_id,
        element_position as position,
        code,
        kind,
        amount,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
