-- One row per category of a product document.
{{ config(
    unique_key='product_id',
    meta={'element_position': 'position'},
    indexes=[
        {'columns': ['product_id', 'position'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('category_path', 'text', '$'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'products')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', ['categories', 'category'], ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position']) }}

),

final as (

    select
        document_id as product_id,
        element_position as position,
        category_path,
        nullif(trim(split_part(category_path, '>', 1)), '') as category_l1,
        nullif(trim(split_part(category_path, '>', 2)), '') as category_l2,
        nullif(trim(split_part(category_path, '>', 3)), '') as category_l3,
        element_position = 1 as is_primary,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
