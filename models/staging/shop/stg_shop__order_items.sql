-- One row per line of an order document.
{{ config(
    unique_key='order_id',
    meta={'element_position': 'line_position', 'touches': {'sku': 'sku'}},
    indexes=[
        {'columns': ['order_id', 'line_position'], 'unique': true},
        {'columns': ['sku']},
        {'columns': ['product_id']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('line_id', 'text', 'line_id'),
    ('product_id', 'id', 'product_id'),
    ('sku', 'text', 'sku'),
    ('title', 'text', 'title'),
    ('category', 'text', 'category'),
    ('quantity', 'number', 'qty'),
    ('unit_price', 'number', 'unit_price'),
    ('unit_cost', 'number', 'unit_cost'),
    ('tax_rate', 'number', 'tax_rate'),
    ('is_gift_card', 'boolean', 'gift_card'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'orders')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'items', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position', 'element_key', 'element']) }}

),

final as (

    select
        document_id as order_id,
        element_position as line_position,
        coalesce(line_id, element_key) as line_id,
        product_id,
        sku,
        title,
        category,
        quantity,
        unit_price,
        unit_cost,
        tax_rate,
        is_gift_card,
        coalesce({{ json_array_sum('element', 'discounts', 'amount') }}, 0) as line_discount,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
