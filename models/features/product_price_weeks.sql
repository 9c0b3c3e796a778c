-- One row per SKU, store, buyer group and complete week in which small quantities of it were sold: how many, at
-- which price.
--
-- The price is the median of the week's lines before any discount; markdowns of lines stand beside it, since buyers
-- answer to an offer that ends otherwise than to a new price. Vouchers of orders say who buys, not what it costs.
-- Lines of `price_small_quantity` units and more are left out: their price
-- follows the quantity instead of the quantity following the price. Nobody is known about anonymous buyers, who
-- may be another trade at other prices, so the two groups are never in one row.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_key', 'store_id', 'buyer_group', 'week_start_date'],
    meta={
        'entity': 'week',
        'entity_column': 'week_start_date',
        'touched_also': [
            'select {{ dbt.date_trunc("week", "cast(days.entity_id as date)") }} from {{ touched("day") }} as days',
            'select {{ dbt.date_trunc("week", "order_date") }} from {{ ref("fct_order_items") }}'
            ' where order_id in {{ touched("order") }}',
            'select {{ dbt.date_trunc("week", "order_date") }} from {{ ref("fct_order_items") }}'
            ' where product_key in {{ touched("sku_group") }}',
            'select {{ dbt.date_trunc("week", "order_date") }} from {{ ref("fct_order_items") }}'
            ' where customer_key in {{ touched("customer_kind") }}',
            'select {{ dbt.date_trunc("week", "order_date") }} from {{ ref("fct_order_items") }}'
            ' where order_date > {{ last_day_built("week_end_date") }}'
            ' and {{ dbt.dateadd("day", 6, dbt.date_trunc("week", "order_date")) }} <= {{ as_of_date() }}',
            'select week_start_date from {{ this }} where week_end_date > {{ as_of_date() }}',
        ],
    },
) }}

with

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'
        and line_kind = 'merchandise'
        and product_key <> '-1'
        and quantity > 0
        and quantity < {{ var('price_small_quantity', 12) }}
        and gross_sales_amount > 0
        and {{ is_touched('order_date', by_day=true) }}

),

priced as (

    select
        order_item_key,
        line_discount_amount,
        quantity * unit_price as list_amount
    from {{ ref('int_order_lines_priced') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

customers as (

    select * from {{ ref('dim_customers') }}

),

lines as (

    select
        items.product_key,
        coalesce(products.product_id, items.product_key) as product_id,
        coalesce(products.category, 'Unknown') as category,
        coalesce(items.store_id, 'unknown') as store_id,
        case
            when items.customer_key = '-1' or coalesce(customers.is_anonymous, true) then 'anonymous'
            else 'identified'
        end as buyer_group,
        items.order_id,
        items.quantity,
        items.gross_sales_amount / items.quantity as price_amount,
        coalesce(priced.line_discount_amount / nullif(priced.list_amount, 0), 0) as markdown_share,
        items.unit_cost_amount,
        cast({{ dbt.date_trunc('week', 'items.order_date') }} as date) as week_start_date
    from items
    inner join products
        on items.product_key = products.product_key
    left join customers
        on items.customer_key = customers.customer_key
    left join priced
        on items.order_item_key = priced.order_item_key

),

weekly as (

    select
        product_key,
        product_id,
        category,
        store_id,
        buyer_group,
        week_start_date,
        sum(quantity) as units,
        count(distinct order_id) as orders,
        percentile_cont(0.5) within group (order by price_amount) as price_amount,
        sum(quantity * markdown_share) / sum(quantity) as markdown_share,
        sum(quantity * unit_cost_amount)
        / nullif(sum(case when unit_cost_amount is not null then quantity end), 0) as unit_cost_amount
    from lines
    group by product_key, product_id, category, store_id, buyer_group, week_start_date

),

final as (

    select
        product_key,
        product_id,
        category,
        store_id,
        buyer_group,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(units as {{ type_money() }}) as units,
        cast(price_amount as {{ type_money() }}) as price_amount,
        cast(unit_cost_amount as {{ type_money() }}) as unit_cost_amount,
        cast(least(greatest(markdown_share, 0), 1) as numeric(9, 6)) as markdown_share,
        week_start_date,
        cast({{ dbt.dateadd('day', 6, 'week_start_date') }} as date) as week_end_date
    from weekly
    where {{ dbt.dateadd('day', 6, 'week_start_date') }} <= {{ as_of_date() }}

)

select * from final
