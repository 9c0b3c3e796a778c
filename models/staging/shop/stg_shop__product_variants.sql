-- One row per variant of a product document: what is sold and stocked.
{{ config(
    unique_key='product_id',
    meta={'element_position': 'variant_position', 'touches': {'sku': 'sku'}},
    indexes=[
        {'columns': ['product_id', 'variant_position'], 'unique': true},
        {'columns': ['sku']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('sku', 'text', 'sku'),
    ('currency', 'text', 'currency'),
    ('color', 'text', 'options.color'),
    ('size', 'text', 'options.size'),
    ('barcode', 'text', 'barcode'),
    ('price', 'number', 'price'),
    ('compare_at_price', 'number', 'compare_at'),
    ('cost', 'number', 'cost'),
    ('weight_g', 'number', 'weight_g'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'products')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'variants', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position']) }}

),

final as (

    select
        document_id as product_id,
        element_position as variant_position,
        sku,
        currency,
        color,
        size,
        barcode,
        price,
        compare_at_price,
        cost,
        weight_g,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
