-- One row per person with an order or money: what their lifetime adds up to, whatever day it is today.
--
-- Everybody is in it, anonymous buyers too, so that its sums are those of the shop.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['customer_key'],
    meta={
        'entity': 'customer',
        'entity_column': 'customer_key',
        'touched_also': [
            "select customer_key from {{ ref('fct_orders') }} where order_id in {{ touched('order') }}",
        ],
    },
) }}

with

shop_orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('customer_key') }}

),

orders as (

    select * from {{ ref('fct_customer_orders') }}
    where {{ is_touched('customer_key') }}

),

days as (

    select * from {{ ref('fct_customer_days') }}
    where
        has_order
        and {{ is_touched('customer_key') }}

),

categories as (

    select * from {{ ref('fct_customer_categories') }}
    where {{ is_touched('customer_key') }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where
        measure = 'sale'
        and {{ is_touched('customer_key') }}

),

reviews as (

    select * from {{ ref('fct_reviews') }}
    where
        is_countable
        and {{ is_touched('customer_key') }}

),

-- credit notes and adjustments are money, but no orders
money as (

    select
        customer_key,
        count(case when is_countable then 1 end) as orders,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(discount_amount) as discount_amount,
        sum(returns_amount) as returns_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(shipping_amount) as shipping_amount,
        sum(gross_profit_amount) as gross_profit_amount,
        sum(cm2_amount) as cm2_amount,
        sum(case when is_countable then units else 0 end) as units,
        sum(case when is_countable then returned_units else 0 end) as returned_units,
        count(case when is_countable and discount_amount > 0 then 1 end) as discounted_orders,
        count(case when is_countable and returns_amount > 0 then 1 end) as returned_orders,
        min(case when is_countable then order_date end) as first_order_date,
        max(case when is_countable then order_date end) as last_order_date
    from shop_orders
    where is_money_countable
    group by customer_key

),

coverage as (

    select
        customer_key,
        sum(gross_sales_amount - discount_amount) as demand_amount,
        sum(case when unit_cost_amount is not null then gross_sales_amount - discount_amount else 0 end)
            as costed_demand_amount
    from items
    where is_countable
    group by customer_key

),

firsts as (

    select
        customer_key,
        first_category,
        first_channel,
        first_country,
        is_first_discounted
    from orders
    where order_seq = 1

),

kept as (

    select
        customer_key,
        count(case when is_kept then 1 end) as kept_orders
    from orders
    group by customer_key

),

gaps as (

    select
        customer_key,
        count(*) as order_days,
        percentile_cont(0.5) within group (
            order by {{ dbt.datediff('previous_order_date', 'activity_date', 'day') }} asc
        ) as median_gap_days,
        max(case when order_days_to_date = 2 then {{ dbt.datediff('previous_order_date', 'activity_date', 'day') }} end)
            as first_gap_days
    from days
    group by customer_key

),

favourites as (

    select
        customer_key,
        count(*) as categories,
        max(case when category_rank = 1 then category end) as favourite_category,
        max(case when category_rank = 1 then orders end) as favourite_category_orders
    from categories
    group by customer_key

),

ratings as (

    select
        customer_key,
        count(*) as reviews,
        avg(rating) as average_rating
    from reviews
    where rating is not null
    group by customer_key

),

final as (

    select
        money.customer_key,
        firsts.first_category,
        firsts.first_channel,
        firsts.first_country,
        favourites.favourite_category,
        cast(money.orders as {{ dbt.type_int() }}) as orders,
        cast(coalesce(kept.kept_orders, 0) as {{ dbt.type_int() }}) as kept_orders,
        cast(coalesce(gaps.order_days, 0) as {{ dbt.type_int() }}) as order_days,
        cast(money.discounted_orders as {{ dbt.type_int() }}) as discounted_orders,
        cast(money.returned_orders as {{ dbt.type_int() }}) as returned_orders,
        cast(coalesce(favourites.categories, 0) as {{ dbt.type_int() }}) as categories,
        cast(favourites.favourite_category_orders as {{ dbt.type_int() }}) as favourite_category_orders,
        cast(coalesce(ratings.reviews, 0) as {{ dbt.type_int() }}) as reviews,
        cast(money.units as {{ type_money() }}) as units,
        cast(money.returned_units as {{ type_money() }}) as returned_units,
        cast(money.gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(money.discount_amount as {{ type_money() }}) as discount_amount,
        cast(money.returns_amount as {{ type_money() }}) as returns_amount,
        cast(money.net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(money.shipping_amount as {{ type_money() }}) as shipping_amount,
        cast(money.gross_profit_amount as {{ type_money() }}) as gross_profit_amount,
        cast(money.cm2_amount as {{ type_money() }}) as cm2_amount,
        cast(coalesce(coverage.demand_amount, 0) as {{ type_money() }}) as demand_amount,
        cast(coalesce(coverage.costed_demand_amount, 0) as {{ type_money() }}) as costed_demand_amount,
        cast(gaps.median_gap_days as numeric(9, 1)) as median_gap_days,
        cast(gaps.first_gap_days as {{ dbt.type_int() }}) as first_gap_days,
        cast(ratings.average_rating as numeric(9, 4)) as average_rating,
        firsts.is_first_discounted,
        money.first_order_date,
        money.last_order_date
    from money
    left join coverage
        on money.customer_key = coverage.customer_key
    left join firsts
        on money.customer_key = firsts.customer_key
    left join kept
        on money.customer_key = kept.customer_key
    left join gaps
        on money.customer_key = gaps.customer_key
    left join favourites
        on money.customer_key = favourites.customer_key
    left join ratings
        on money.customer_key = ratings.customer_key

)

select * from final
