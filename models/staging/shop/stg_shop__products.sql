-- One row per product document.
{{ config(
    unique_key='product_id',
    meta={'touches': {'sku': 'sku'}},
    indexes=[
        {'columns': ['product_id'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('sku', 'text', 'sku'),
    ('title', 'text', 'title'),
    ('brand', 'text', 'brand'),
    ('status', 'code', 'status'),
    ('primary_category', 'text', ['categories.0', 'category']),
    ('supplier_id', 'text', 'supplier.id'),
    ('lead_time_days', 'number', 'supplier.lead_time_days'),
    ('minimum_order_quantity', 'number', 'supplier.moq'),
    ('rating_avg', 'number', 'rating.avg'),
    ('rating_count', 'integer', 'rating.n'),
    ('launched_at', 'timestamp', 'launched_at'),
    ('created_at', 'timestamp', 'created_at'),
    ('updated_at', 'timestamp', 'updated_at'),
    ('schema_version', 'integer', 'schema_version'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'products')) }}

),

typed as (

    {{ json_to_columns('documents', 'doc', columns, ['document_id', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as product_id,
        sku,
        title,
        brand,
        status,
        primary_category,
        supplier_id,
        lead_time_days,
        minimum_order_quantity,
        rating_avg,
        rating_count,
        launched_at,
        created_at,
        updated_at,
        schema_version,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
