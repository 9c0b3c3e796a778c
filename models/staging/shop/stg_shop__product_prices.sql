-- One row per entry of a product's price history.
{{ config(
    unique_key='product_id',
    meta={'element_position': 'seq'},
    indexes=[
        {'columns': ['product_id', 'seq'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('price', 'number', 'price'),
    ('cost', 'number', 'cost'),
    ('changed_at', 'timestamp', 'at'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'products')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'price_history', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position']) }}

),

final as (

    select
        document_id as product_id,
        element_position as seq,
        price,
        cost,
        changed_at,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
