-- One row per identified customer and day on which they ordered or sent something back.
{{ config(materialized='view', meta={'tested': 'weekly'}) }}

with

days as (

    select * from {{ ref('fct_customer_days') }}

),

final as (

    select
        customer_key,
        demand_amount,
        returns_amount,
        same_day_returns_amount,
        orders,
        has_order,
        -- an order that was sent back whole on its day was none: it says nothing of who buys again
        has_order and not (same_day_returns_amount > 0 and same_day_returns_amount >= demand_amount) as is_purchase,
        activity_date,
        previous_order_date
    from days

)

select * from final
