-- One row per SKU, plus the unknown member.
{{ config(alias='dim_products') }}

with

products as (

    select * from {{ ref('dim_products') }}

),

levels as (

    select * from {{ ref('fct_inventory_levels') }}
    where valid_until is null

),

stock as (

    select
        product_key,
        cast(sum(on_hand) as {{ type_money() }}) as stock_level
    from levels
    group by product_key

),

final as (

    select
        products.product_key as product_id,
        products.sku,
        products.product_name,
        products.category,
        products.subcategory,
        products.category_path,
        products.brand,
        products.status,
        products.price,
        products.cost,
        products.currency,
        stock.stock_level,
        products.launched_date
    from products
    left join stock
        on products.product_key = stock.product_key

)

select * from final
