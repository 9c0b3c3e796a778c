-- One row per day of business, all stores together, without gaps, up to the last complete day.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['metric_date'],
    meta={'entity': 'day', 'entity_column': 'metric_date'},
) }}

with

daily_metrics as (

    select * from {{ ref('agg_daily_metrics') }}
    where
        is_complete
        and {{ is_touched('metric_date') }}

),

ledger as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        is_countable
        and {{ is_touched('event_date') }}

),

daily as (

    select
        metric_date,
        sum(total_sales_amount) as total_sales_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(net_profit_amount) as net_profit_amount,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount,
        sum(orders) as orders
    from daily_metrics
    group by metric_date

),

-- what was sold and not sent back on the same day: known when the day ends, never restated by refunds
products as (

    select
        event_date,
        sum(amount) as product_sales_amount
    from ledger
    where
        line_kind = 'merchandise'
        and (
            entry_type in ('sale', 'discount')
            or (entry_type = 'return' and event_date = order_date)
        )
    group by event_date

),

final as (

    select
        cast(daily.total_sales_amount as {{ type_money() }}) as total_sales_amount,
        cast(daily.net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(coalesce(products.product_sales_amount, 0) as {{ type_money() }}) as product_sales_amount,
        cast(daily.net_profit_amount as {{ type_money() }}) as net_profit_amount,
        cast(daily.demand_amount as {{ type_money() }}) as demand_amount,
        cast(daily.costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        cast(daily.orders as {{ dbt.type_int() }}) as orders,
        daily.metric_date
    from daily
    left join products
        on daily.metric_date = products.event_date

)

select * from final
