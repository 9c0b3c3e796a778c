-- One row per SKU that was ever on sale, plus the unknown member '-1'.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_key'],
    meta={
        'touches': {'sku': ['sku', 'product_key'], 'product': ['product_key', 'product_id']},
        'narrow_touches': {
            'sku_category': {'key': 'product_key', 'columns': ['category']},
            'sku_group': {'key': 'product_key', 'columns': ['product_id', 'category']},
            'sku_name': {
                'key': 'product_key',
                'columns': ['sku', 'product_id', 'product_name', 'brand', 'category', 'subcategory'],
            },
        },
    },
) }}

with

skus as (

    select * from {{ ref('int_product_skus') }}

),

products as (

    select * from {{ ref('stg_shop__products') }}

),

described as (

    select
        skus.product_key,
        skus.sku,
        skus.product_id,
        -- some products were never named; the code is what people know them by
        coalesce(skus.product_name, skus.sku) as product_name,
        skus.brand,
        coalesce(skus.category_l1, products.primary_category, 'Uncategorised') as category,
        skus.category_l2 as subcategory,
        skus.category_path,
        skus.line_kind,
        skus.status,
        skus.color,
        skus.size,
        skus.barcode,
        skus.supplier_id,
        skus.currency,
        skus.cost_source,
        cast(skus.price as {{ type_money() }}) as price,
        cast(skus.compare_at_price as {{ type_money() }}) as compare_at_price,
        cast(skus.cost as {{ type_money() }}) as cost,
        cast(skus.weight_g as {{ type_money() }}) as weight_g,
        cast(skus.lead_time_days as {{ dbt.type_int() }}) as lead_time_days,
        skus.line_kind = 'merchandise' as is_merchandise,
        skus.is_deleted,
        {{ local_date('skus.launched_at') }} as launched_date
    from skus
    left join products
        on skus.product_id = products.product_id

),

unknown_member as (

    select
        '-1' as product_key,
        cast(null as {{ dbt.type_string() }}) as sku,
        cast(null as {{ dbt.type_string() }}) as product_id,
        'Unknown product' as product_name,
        cast(null as {{ dbt.type_string() }}) as brand,
        'Unknown' as category,
        cast(null as {{ dbt.type_string() }}) as subcategory,
        cast(null as {{ dbt.type_string() }}) as category_path,
        'merchandise' as line_kind,
        cast(null as {{ dbt.type_string() }}) as status,
        cast(null as {{ dbt.type_string() }}) as color,
        cast(null as {{ dbt.type_string() }}) as size,
        cast(null as {{ dbt.type_string() }}) as barcode,
        cast(null as {{ dbt.type_string() }}) as supplier_id,
        cast(null as {{ dbt.type_string() }}) as currency,
        'unknown' as cost_source,
        cast(null as {{ type_money() }}) as price,
        cast(null as {{ type_money() }}) as compare_at_price,
        cast(null as {{ type_money() }}) as cost,
        cast(null as {{ type_money() }}) as weight_g,
        cast(null as {{ dbt.type_int() }}) as lead_time_days,
        true as is_merchandise,
        false as is_deleted,
        cast(null as date) as launched_date

),

final as (

    select * from described
    union all
    select * from unknown_member

)

select * from final
