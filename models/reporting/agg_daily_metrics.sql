-- One row per store and day, without gaps; sums of the ledger by the day of the event.
--
-- Costs that belong to no single store (advertising, overheads without a store) stand under the store
-- '(shared)', so that sums over stores are right and no store carries a made-up share.
--
-- Averages and the year before reach far, so it is computed as a whole; what its readers take of a day is logged.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['store_id', 'metric_date'],
    meta={
        'touches': {'averaged_day': 'metric_date'},
        'narrow_touches': {
            'day': {
                'key': 'metric_date',
                'by': ['store_id'],
                'columns': [
                    'total_sales_amount', 'net_sales_amount', 'net_profit_amount', 'demand_amount',
                    'costed_demand_amount', 'orders', 'is_complete',
                ],
            },
        },
    },
) }}

{% set average_windows = [7, 30] %}

with

store_days as (

    select * from {{ ref('int_store_days') }}

),

spend as (

    select * from {{ ref('int_campaign_days_converted') }}

),

overheads as (

    select * from {{ ref('int_overheads_daily') }}

),

shared_costs as (

    select
        '(shared)' as store_id,
        spend_date as metric_date,
        spend_amount as marketing_spend_amount,
        0 as overhead_amount
    from spend

    union all

    select
        coalesce(store_id, '(shared)') as store_id,
        overhead_date as metric_date,
        0 as marketing_spend_amount,
        overhead_amount
    from overheads

),

costs as (

    select
        store_id,
        metric_date,
        sum(marketing_spend_amount) as marketing_spend_amount,
        sum(overhead_amount) as overhead_amount
    from shared_costs
    group by store_id, metric_date

),

event_dates as (

    select
        store_id,
        metric_date
    from store_days
    where has_events

    union all

    select
        store_id,
        metric_date
    from costs

),

stores as (

    select
        store_id,
        min(metric_date) as first_date,
        max(metric_date) as last_date
    from event_dates
    where metric_date is not null
    group by store_id

),

days as (

    {{ date_rows('(select min(first_date) from stores)', '(select greatest(max(last_date), ' ~ as_of_date() ~ ') from stores)', 'metric_date') }}

),

calendar as (

    select
        stores.store_id,
        days.metric_date
    from stores
    inner join days
        on
            days.metric_date >= stores.first_date
            and (days.metric_date <= {{ as_of_date() }} or days.metric_date <= stores.last_date)

),

daily as (

    select
        calendar.store_id,
        calendar.metric_date,
        coalesce(store_days.gross_sales_amount, 0) as gross_sales_amount,
        coalesce(store_days.discount_amount, 0) as discount_amount,
        coalesce(store_days.returns_amount, 0) as returns_amount,
        coalesce(store_days.shipping_amount, 0) as shipping_amount,
        coalesce(store_days.tax_amount, 0) as tax_amount,
        coalesce(store_days.adjustment_amount, 0) as adjustment_amount,
        coalesce(store_days.gift_card_amount, 0) as gift_card_amount,
        coalesce(store_days.cogs_amount, 0) as cogs_amount,
        coalesce(store_days.payment_fee_amount, 0) as payment_fee_amount,
        coalesce(store_days.estimated_payment_fee_amount, 0) as estimated_payment_fee_amount,
        coalesce(store_days.shipping_cost_amount, 0) as shipping_cost_amount,
        coalesce(store_days.fulfilment_cost_amount, 0) as fulfilment_cost_amount,
        coalesce(store_days.packaging_cost_amount, 0) as packaging_cost_amount,
        coalesce(store_days.return_handling_cost_amount, 0) as return_handling_cost_amount,
        coalesce(costs.marketing_spend_amount, 0) as marketing_spend_amount,
        coalesce(costs.overhead_amount, 0) as overhead_amount,
        coalesce(store_days.order_basis_returns_amount, 0) as order_basis_returns_amount,
        coalesce(store_days.order_basis_net_sales_amount, 0) as order_basis_net_sales_amount,
        coalesce(store_days.order_basis_total_sales_amount, 0) as order_basis_total_sales_amount,
        coalesce(store_days.demand_amount, 0) as demand_amount,
        coalesce(store_days.costed_demand_amount, 0) as costed_demand_amount,
        coalesce(store_days.units, 0) as units,
        coalesce(store_days.returned_units, 0) as returned_units,
        coalesce(store_days.returned_orders, 0) as returned_orders,
        coalesce(store_days.orders, 0) as orders,
        coalesce(store_days.active_customers, 0) as active_customers,
        coalesce(store_days.new_customers, 0) as new_customers,
        coalesce(store_days.anonymous_orders, 0) as anonymous_orders,
        coalesce(store_days.placed_orders, 0) as placed_orders,
        coalesce(store_days.cancelled_orders, 0) as cancelled_orders
    from calendar
    left join store_days
        on
            calendar.store_id = store_days.store_id
            and calendar.metric_date = store_days.metric_date
    left join costs
        on
            calendar.store_id = costs.store_id
            and calendar.metric_date = costs.metric_date

),

derived as (

    select
        *,
        gross_sales_amount - discount_amount - returns_amount as net_sales_amount,
        gross_sales_amount - discount_amount - returns_amount + shipping_amount + tax_amount as total_sales_amount,
        -- what is lost on goodwill, fees, bad debt and donations is a cost
        payment_fee_amount
        + estimated_payment_fee_amount
        + shipping_cost_amount
        + fulfilment_cost_amount
        + packaging_cost_amount
        + return_handling_cost_amount
        - adjustment_amount as variable_cost_amount
    from daily

),

windowed as (

    select
        *,
        {% for days in average_windows -%}
        case
            when count(*) over (
                partition by store_id order by metric_date asc nulls last rows between {{ days - 1 }} preceding and current row
            ) = {{ days }}
                then avg(total_sales_amount) over (
                    partition by store_id order by metric_date asc nulls last rows between {{ days - 1 }} preceding and current row
                )
        end as total_sales_{{ days }}d_avg,
        {% endfor -%}
        -- same weekday a year before: 52 whole weeks, possible because the calendar has no gaps
        lag(total_sales_amount, 364) over (partition by store_id order by metric_date asc nulls last)
            as total_sales_aligned_prior_year,
        lag(orders, 364) over (partition by store_id order by metric_date asc nulls last) as orders_aligned_prior_year
    from derived

),

final as (

    select
        windowed.store_id,
        cast(windowed.gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(windowed.discount_amount as {{ type_money() }}) as discount_amount,
        cast(windowed.returns_amount as {{ type_money() }}) as returns_amount,
        cast(windowed.net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(windowed.shipping_amount as {{ type_money() }}) as shipping_amount,
        cast(windowed.tax_amount as {{ type_money() }}) as tax_amount,
        cast(windowed.total_sales_amount as {{ type_money() }}) as total_sales_amount,
        cast(windowed.adjustment_amount as {{ type_money() }}) as adjustment_amount,
        cast(windowed.gift_card_amount as {{ type_money() }}) as gift_card_amount,
        cast(windowed.cogs_amount as {{ type_money() }}) as cogs_amount,
        cast(windowed.net_sales_amount - windowed.cogs_amount as {{ type_money() }}) as gross_profit_amount,
        cast(windowed.payment_fee_amount as {{ type_money() }}) as payment_fee_amount,
        cast(windowed.estimated_payment_fee_amount as {{ type_money() }}) as estimated_payment_fee_amount,
        cast(windowed.shipping_cost_amount as {{ type_money() }}) as shipping_cost_amount,
        cast(windowed.fulfilment_cost_amount as {{ type_money() }}) as fulfilment_cost_amount,
        cast(windowed.packaging_cost_amount as {{ type_money() }}) as packaging_cost_amount,
        cast(windowed.return_handling_cost_amount as {{ type_money() }}) as return_handling_cost_amount,
        cast(windowed.variable_cost_amount as {{ type_money() }}) as variable_cost_amount,
        cast(
            windowed.net_sales_amount + windowed.shipping_amount - windowed.cogs_amount
            - windowed.variable_cost_amount as {{ type_money() }}
        ) as cm2_amount,
        cast(windowed.marketing_spend_amount as {{ type_money() }}) as marketing_spend_amount,
        cast(
            windowed.net_sales_amount + windowed.shipping_amount - windowed.cogs_amount
            - windowed.variable_cost_amount - windowed.marketing_spend_amount as {{ type_money() }}
        ) as cm3_amount,
        cast(windowed.overhead_amount as {{ type_money() }}) as overhead_amount,
        cast(
            windowed.cogs_amount + windowed.variable_cost_amount + windowed.marketing_spend_amount
            + windowed.overhead_amount as {{ type_money() }}
        ) as total_cost_amount,
        cast(
            windowed.net_sales_amount + windowed.shipping_amount - windowed.cogs_amount
            - windowed.variable_cost_amount - windowed.marketing_spend_amount
            - windowed.overhead_amount as {{ type_money() }}
        ) as net_profit_amount,
        cast(windowed.demand_amount as {{ type_money() }}) as demand_amount,
        cast(windowed.costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        cast(
            case when windowed.demand_amount <> 0 then windowed.costed_demand_amount / windowed.demand_amount end
            as numeric(9, 6)
        ) as cost_coverage,
        -- an unknown cost is not a cost of 0: no margin is told where too few costs are known
        cast(
            case
                when
                    windowed.net_sales_amount <> 0
                    and windowed.demand_amount > 0
                    and windowed.costed_demand_amount
                    >= {{ var('least_cost_coverage') }} * windowed.demand_amount
                    then (windowed.net_sales_amount - windowed.cogs_amount) / windowed.net_sales_amount
            end as numeric(20, 6)
        ) as gross_margin,
        cast(windowed.order_basis_returns_amount as {{ type_money() }}) as order_basis_returns_amount,
        cast(windowed.order_basis_net_sales_amount as {{ type_money() }}) as order_basis_net_sales_amount,
        cast(windowed.order_basis_total_sales_amount as {{ type_money() }}) as order_basis_total_sales_amount,
        cast(windowed.total_sales_7d_avg as {{ type_money() }}) as total_sales_7d_avg,
        cast(windowed.total_sales_30d_avg as {{ type_money() }}) as total_sales_30d_avg,
        cast(prior_year.total_sales_amount as {{ type_money() }}) as total_sales_prior_year,
        cast(windowed.total_sales_aligned_prior_year as {{ type_money() }}) as total_sales_aligned_prior_year,
        cast(windowed.orders as {{ dbt.type_int() }}) as orders,
        cast(prior_year.orders as {{ dbt.type_int() }}) as orders_prior_year,
        cast(windowed.orders_aligned_prior_year as {{ dbt.type_int() }}) as orders_aligned_prior_year,
        cast(windowed.placed_orders as {{ dbt.type_int() }}) as placed_orders,
        cast(windowed.cancelled_orders as {{ dbt.type_int() }}) as cancelled_orders,
        cast(windowed.anonymous_orders as {{ dbt.type_int() }}) as anonymous_orders,
        cast(windowed.returned_orders as {{ dbt.type_int() }}) as returned_orders,
        cast(windowed.active_customers as {{ dbt.type_int() }}) as active_customers,
        cast(windowed.new_customers as {{ dbt.type_int() }}) as new_customers,
        cast(windowed.units as {{ type_money() }}) as units,
        cast(windowed.returned_units as {{ type_money() }}) as returned_units,
        windowed.metric_date <= {{ as_of_date() }} as is_complete,
        windowed.metric_date
    from windowed
    left join derived as prior_year
        on
            windowed.store_id = prior_year.store_id
            and cast({{ dbt.dateadd('year', -1, 'windowed.metric_date') }} as date) = prior_year.metric_date

)

select * from final
