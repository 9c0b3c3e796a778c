-- One row per recognisable person and product category that they bought, in countable orders.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['customer_category_key'],
    meta={
        'entity': 'customer',
        'entity_column': 'customer_key',
        'touched_also': [
            "select customer_key from {{ ref('fct_customer_orders') }} where order_id in {{ touched('order') }}",
            "select customer_key from {{ ref('fct_order_items') }} where product_key in {{ touched('sku_category') }}",
        ],
    },
) }}

with

orders as (

    select * from {{ ref('fct_customer_orders') }}
    where {{ is_touched('customer_key') }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where
        measure = 'sale'
        and {{ is_touched('customer_key') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

bought as (

    select
        orders.customer_key,
        products.category,
        count(distinct orders.order_id) as orders,
        sum(coalesce(items.quantity, 0)) as units,
        sum(items.returned_quantity) as returned_units,
        sum(items.gross_sales_amount - items.discount_amount) as demand_amount,
        sum(items.returns_amount) as returns_amount,
        min(orders.order_date) as first_order_date,
        max(orders.order_date) as last_order_date
    from orders
    inner join items
        on orders.order_id = items.order_id
    inner join products
        on items.product_key = products.product_key
    group by orders.customer_key, products.category

),

final as (

    select
        {{ surrogate_key(['customer_key', 'category']) }} as customer_category_key,
        customer_key,
        category,
        cast(
            row_number() over (
                partition by customer_key
                order by orders desc nulls last, demand_amount desc nulls last, category asc
            ) as {{ dbt.type_int() }}
        ) as category_rank,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(units as {{ type_money() }}) as units,
        cast(returned_units as {{ type_money() }}) as returned_units,
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(returns_amount as {{ type_money() }}) as returns_amount,
        cast(demand_amount - returns_amount as {{ type_money() }}) as net_sales_amount,
        first_order_date,
        last_order_date
    from bought

)

select * from final
