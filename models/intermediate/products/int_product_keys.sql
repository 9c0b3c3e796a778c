-- One row per SKU on sale now or before: the product that owns it. Prices and names are in int_product_skus.
--
-- So narrow that it changes only when a SKU comes, goes or moves; orders look up their products here.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['sku'],
    meta={'touches': {'sku': 'sku', 'product': 'product_id'}},
    indexes=[{'columns': ['product_id']}],
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

)

select * from final
