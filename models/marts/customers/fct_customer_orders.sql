-- One row per countable order of a person who can be recognised: its place in that person's history.
--
-- Order basis: a refund is netted into its order, whenever it came.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'customer',
        'entity_column': 'customer_key',
        'touches': {'order': 'order_id', 'month': 'month_start_date'},
        'touched_also': [
            "select customer_key from {{ ref('fct_orders') }} where order_id in {{ touched('order') }}",
            "select customer_key from {{ ref('fct_order_items') }} where product_key in {{ touched('sku_category') }}",
        ],
    },
) }}

with

orders as (

    select * from {{ ref('fct_orders') }}
    where
        is_countable
        -- nobody can tell whether an anonymous buyer was here before
        and is_new_customer is not null
        and {{ is_touched('customer_key') }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where {{ is_touched('customer_key') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

channels as (

    select * from {{ ref('dim_channels') }}

),

places as (

    select * from {{ ref('dim_geography') }}

),

order_categories as (

    select
        items.order_id,
        products.category,
        sum(items.gross_sales_amount - items.discount_amount) as demand_amount,
        sum(case when items.unit_cost_amount is not null then items.gross_sales_amount - items.discount_amount else 0 end)
            as costed_demand_amount
    from items
    inner join orders
        on items.order_id = orders.order_id
    inner join products
        on items.product_key = products.product_key
    where items.measure = 'sale'
    group by items.order_id, products.category

),

-- the category that most of the order's money went to
ranked_categories as (

    select
        order_id,
        category,
        row_number() over (
            partition by order_id
            order by demand_amount desc nulls last, category asc
        ) as category_rank,
        sum(demand_amount) over (partition by order_id) as demand_amount,
        sum(costed_demand_amount) over (partition by order_id) as costed_demand_amount
    from order_categories

),

joined as (

    select
        orders.*,
        coalesce(ranked_categories.category, 'Uncategorised') as primary_category,
        coalesce(ranked_categories.demand_amount, 0) as demand_amount,
        coalesce(ranked_categories.costed_demand_amount, 0) as costed_demand_amount,
        coalesce(channels.marketing_channel, 'unknown') as marketing_channel,
        coalesce(places.country_code, 'unknown') as ship_country,
        orders.discount_amount > 0 as is_discounted,
        -- an order whose goods all came back is no purchase that was kept
        orders.net_sales_amount > 0 as is_kept
    from orders
    left join ranked_categories
        on
            orders.order_id = ranked_categories.order_id
            and ranked_categories.category_rank = 1
    left join channels
        on orders.channel_key = channels.channel_key
    left join places
        on orders.geography_key = places.geography_key

),

placed as (

    select
        *,
        first_value(order_date) over first_to_last as first_order_date,
        first_value(primary_category) over first_to_last as first_category,
        first_value(marketing_channel) over first_to_last as first_channel,
        first_value(ship_country) over first_to_last as first_country,
        first_value(is_discounted) over first_to_last as is_first_discounted,
        case
            when is_kept
                then row_number() over (
                    partition by customer_key, is_kept
                    order by order_seq asc
                )
        end as kept_order_seq,
        min(case when is_kept then order_date end) over (partition by customer_key) as first_kept_order_date
    from joined
    window
        first_to_last as (
            partition by customer_key
            order by order_seq asc
            rows between unbounded preceding and unbounded following
        )

),

final as (

    select
        order_id,
        customer_key,
        store_id,
        primary_category,
        marketing_channel,
        ship_country,
        first_category,
        first_channel,
        first_country,
        cast(order_seq as {{ dbt.type_int() }}) as order_seq,
        cast(kept_order_seq as {{ dbt.type_int() }}) as kept_order_seq,
        cast({{ dbt.datediff('first_order_date', 'order_date', 'day') }} as {{ dbt.type_int() }}) as days_since_first,
        cast({{ full_months('first_order_date', 'order_date') }} as {{ dbt.type_int() }}) as months_since_first,
        cast(gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(discount_amount as {{ type_money() }}) as discount_amount,
        cast(returns_amount as {{ type_money() }}) as returns_amount,
        cast(net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(gross_profit_amount as {{ type_money() }}) as gross_profit_amount,
        cast(cm2_amount as {{ type_money() }}) as cm2_amount,
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        is_discounted,
        is_first_discounted,
        is_kept,
        order_date,
        cast({{ dbt.date_trunc('month', 'order_date') }} as date) as month_start_date,
        first_order_date,
        first_kept_order_date,
        placed_at
    from placed

)

select * from final
