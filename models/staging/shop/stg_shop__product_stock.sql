-- One row per location in a product document's own stock count.
{{ config(
    unique_key='product_id',
    meta={'element_position': 'location_position'},
    indexes=[
        {'columns': ['product_id', 'location_position'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('quantity', 'number', '$'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'products')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'stock', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position', 'element_key']) }}

),

final as (

    select
        document_id as product_id,
        element_position as location_position,
        element_key as location,
        quantity,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
