-- One row per SKU with the product that owns it, plus the member '-1'.
--
-- So narrow that it changes only when a SKU comes, goes or changes hands: what is counted by product
-- would otherwise be counted anew with every price.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_key'],
    meta={'touches': {'sku_owner': 'product_key', 'sku_code': 'sku', 'product': 'product_id'}},
    indexes=[{'columns': ['sku']}, {'columns': ['product_id']}],
) }}

with

skus as (

    select * from {{ ref('int_product_skus') }}

),

final as (

    select
        product_key,
        sku,
        product_id
    from skus

    union all

    select
        '-1' as product_key,
        cast(null as {{ dbt.type_string() }}) as sku,
        '-1' as product_id

)

select * from final
