-- One row per store and day on which something happened: what agg_daily_metrics adds up of the ledger and the orders.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['store_id', 'metric_date'],
    meta={'entity': 'day', 'entity_column': 'metric_date'},
    indexes=[{'columns': ['metric_date']}],
) }}

with

events as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        {{ is_touched('event_date') }}
        and is_countable

),

entries_of_orders as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        {{ is_touched('order_date') }}
        and is_countable

),

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_date') }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where {{ is_touched('order_date') }}

),

money as (

    select
        store_id,
        event_date as metric_date,
        sum(case when entry_type = 'sale' then amount else 0 end) as gross_sales_amount,
        -sum(case when entry_type = 'discount' then amount else 0 end) as discount_amount,
        -sum(case when entry_type = 'return' then amount else 0 end) as returns_amount,
        sum(case when entry_type = 'shipping' then amount else 0 end) as shipping_amount,
        sum(case when entry_type = 'tax' then amount else 0 end) as tax_amount,
        sum(case when entry_type = 'adjustment' then amount else 0 end) as adjustment_amount,
        sum(case when entry_type = 'gift_card' then amount else 0 end) as gift_card_amount,
        -sum(case when entry_type in ('cogs', 'cogs_return') then amount else 0 end) as cogs_amount,
        -sum(case when entry_type = 'payment_fee' then amount else 0 end) as payment_fee_amount,
        -sum(case when entry_type = 'payment_fee_estimate' then amount else 0 end) as estimated_payment_fee_amount,
        -sum(case when entry_type = 'shipping_cost' then amount else 0 end) as shipping_cost_amount,
        -sum(case when entry_type = 'fulfilment' then amount else 0 end) as fulfilment_cost_amount,
        -sum(case when entry_type = 'packaging' then amount else 0 end) as packaging_cost_amount,
        -sum(case when entry_type = 'return_handling' then amount else 0 end) as return_handling_cost_amount,
        sum(case when entry_type = 'sale' then quantity else 0 end) as units,
        -sum(case when entry_type = 'return' then quantity else 0 end) as returned_units,
        count(distinct case when entry_type = 'return' then order_id end) as returned_orders
    from events
    group by store_id, event_date

),

order_basis as (

    select
        store_id,
        order_date as metric_date,
        -sum(case when entry_type = 'return' then amount else 0 end) as order_basis_returns_amount,
        sum(case when entry_type in ('sale', 'discount', 'return') then amount else 0 end)
            as order_basis_net_sales_amount,
        sum(case when entry_type in ('sale', 'discount', 'return', 'shipping', 'tax') then amount else 0 end)
            as order_basis_total_sales_amount
    from entries_of_orders
    group by store_id, order_date

),

order_counts as (

    select
        store_id,
        order_date as metric_date,
        count(*) as orders,
        count(distinct case when is_new_customer is not null then customer_key end) as active_customers,
        count(case when is_new_customer then 1 end) as new_customers,
        count(case when is_new_customer is null then 1 end) as anonymous_orders
    from orders
    where is_countable
    group by store_id, order_date

),

placed_counts as (

    select
        store_id,
        order_date as metric_date,
        count(*) as placed_orders,
        count(case when is_cancelled then 1 end) as cancelled_orders
    from orders
    where
        order_kind = 'sale'
        and coalesce(exclusion_reason not in ('duplicate', 'test', 'deleted'), true)
    group by store_id, order_date

),

coverage as (

    select
        store_id,
        order_date as metric_date,
        sum(gross_sales_amount - discount_amount) as demand_amount,
        sum(case when unit_cost_amount is not null then gross_sales_amount - discount_amount else 0 end)
            as costed_demand_amount
    from items
    where
        is_countable
        and measure = 'sale'
    group by store_id, order_date

),

days as (

    {% for part in ['money', 'order_basis', 'order_counts', 'placed_counts', 'coverage'] -%}
    select
        store_id,
        metric_date
    from {{ part }}
    {% if not loop.last %}union{% endif %}
    {% endfor %}
),

final as (

    select
        days.store_id,
        cast(coalesce(money.gross_sales_amount, 0) as {{ type_money() }}) as gross_sales_amount,
        cast(coalesce(money.discount_amount, 0) as {{ type_money() }}) as discount_amount,
        cast(coalesce(money.returns_amount, 0) as {{ type_money() }}) as returns_amount,
        cast(coalesce(money.shipping_amount, 0) as {{ type_money() }}) as shipping_amount,
        cast(coalesce(money.tax_amount, 0) as {{ type_money() }}) as tax_amount,
        cast(coalesce(money.adjustment_amount, 0) as {{ type_money() }}) as adjustment_amount,
        cast(coalesce(money.gift_card_amount, 0) as {{ type_money() }}) as gift_card_amount,
        cast(coalesce(money.cogs_amount, 0) as {{ type_money() }}) as cogs_amount,
        cast(coalesce(money.payment_fee_amount, 0) as {{ type_money() }}) as payment_fee_amount,
        cast(coalesce(money.estimated_payment_fee_amount, 0) as {{ type_money() }}) as estimated_payment_fee_amount,
        cast(coalesce(money.shipping_cost_amount, 0) as {{ type_money() }}) as shipping_cost_amount,
        cast(coalesce(money.fulfilment_cost_amount, 0) as {{ type_money() }}) as fulfilment_cost_amount,
        cast(coalesce(money.packaging_cost_amount, 0) as {{ type_money() }}) as packaging_cost_amount,
        cast(coalesce(money.return_handling_cost_amount, 0) as {{ type_money() }}) as return_handling_cost_amount,
        cast(coalesce(order_basis.order_basis_returns_amount, 0) as {{ type_money() }}) as order_basis_returns_amount,
        cast(coalesce(order_basis.order_basis_net_sales_amount, 0) as {{ type_money() }}) as order_basis_net_sales_amount,
        cast(coalesce(order_basis.order_basis_total_sales_amount, 0) as {{ type_money() }}) as order_basis_total_sales_amount,
        cast(coalesce(coverage.demand_amount, 0) as {{ type_money() }}) as demand_amount,
        cast(coalesce(coverage.costed_demand_amount, 0) as {{ type_money() }}) as costed_demand_amount,
        cast(coalesce(money.units, 0) as {{ type_money() }}) as units,
        cast(coalesce(money.returned_units, 0) as {{ type_money() }}) as returned_units,
        cast(coalesce(money.returned_orders, 0) as {{ dbt.type_int() }}) as returned_orders,
        cast(coalesce(order_counts.orders, 0) as {{ dbt.type_int() }}) as orders,
        cast(coalesce(order_counts.active_customers, 0) as {{ dbt.type_int() }}) as active_customers,
        cast(coalesce(order_counts.new_customers, 0) as {{ dbt.type_int() }}) as new_customers,
        cast(coalesce(order_counts.anonymous_orders, 0) as {{ dbt.type_int() }}) as anonymous_orders,
        cast(coalesce(placed_counts.placed_orders, 0) as {{ dbt.type_int() }}) as placed_orders,
        cast(coalesce(placed_counts.cancelled_orders, 0) as {{ dbt.type_int() }}) as cancelled_orders,
        money.store_id is not null or placed_counts.store_id is not null as has_events,
        days.metric_date
    from days
    left join money
        on
            days.store_id = money.store_id
            and days.metric_date = money.metric_date
    left join order_basis
        on
            days.store_id = order_basis.store_id
            and days.metric_date = order_basis.metric_date
    left join order_counts
        on
            days.store_id = order_counts.store_id
            and days.metric_date = order_counts.metric_date
    left join placed_counts
        on
            days.store_id = placed_counts.store_id
            and days.metric_date = placed_counts.metric_date
    left join coverage
        on
            days.store_id = coverage.store_id
            and days.metric_date = coverage.metric_date
    where
        days.store_id is not null
        and days.metric_date is not null

)

select * from final
