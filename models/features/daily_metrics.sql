-- One row per complete day, dimension and member that something was sold in: what anomalies are looked for in.
--
-- Order basis: what was ordered on the day, less discounts. Refunds would carry the noise of other days.
{% set members = [
    ('country', 'country_code'),
    ('category', 'category'),
    ('payment_method', 'payment_method'),
] %}
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['dimension', 'member', 'metric_date'],
    meta={
        'entity': 'day',
        'entity_column': 'metric_date',
        'touched_also': [
            "select sales_date from {{ ref('agg_sales_cube') }} where sales_date > {{ last_day_built('metric_date') }}",
        ],
    },
) }}

with

cube as (

    select * from {{ ref('agg_sales_cube') }}
    where
        sales_date <= {{ as_of_date() }}
        and {{ is_touched('sales_date') }}

),

sessions as (

    select
        session_date,
        count(*) as sessions,
        count(case when channel_rule = 'utm' then 1 end) as tagged_sessions,
        sum(purchases) as tracked_purchases
    from {{ ref('fct_sessions') }}
    where
        not is_bot
        and session_date <= {{ as_of_date() }}
        and {{ is_touched('session_date') }}
    group by session_date

),

totals as (

    select
        sales_date,
        sum(demand_amount) as revenue_amount,
        sum(orders) as orders,
        sum(order_lines) as order_lines,
        sum(units) as units,
        sum(cancelled_orders) as cancelled_orders
    from cube
    group by sales_date

),

stacked as (

    select
        'total' as dimension,
        'all' as member,
        totals.revenue_amount,
        totals.orders,
        totals.order_lines,
        totals.units,
        totals.cancelled_orders,
        sessions.sessions,
        sessions.tagged_sessions,
        sessions.tracked_purchases,
        totals.sales_date
    from totals
    left join sessions
        on totals.sales_date = sessions.session_date
    {% for dimension, column in members %}
    union all
    select
        '{{ dimension }}' as dimension,
        {{ column }} as member,
        sum(demand_amount) as revenue_amount,
        sum(orders) as orders,
        sum(order_lines) as order_lines,
        sum(units) as units,
        sum(cancelled_orders) as cancelled_orders,
        null as sessions,
        null as tagged_sessions,
        null as tracked_purchases,
        sales_date
    from cube
    where
        {{ column }} is not null
        -- what belongs to an order as a whole has no category
        and {{ column }} <> '(order)'
    group by {{ column }}, sales_date
    {% endfor %}
),

final as (

    select
        dimension,
        member,
        cast(revenue_amount as {{ type_money() }}) as revenue_amount,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(order_lines as {{ dbt.type_int() }}) as order_lines,
        cast(units as {{ dbt.type_int() }}) as units,
        cast(cancelled_orders as {{ dbt.type_int() }}) as cancelled_orders,
        cast(sessions as {{ dbt.type_int() }}) as sessions,
        cast(tagged_sessions as {{ dbt.type_int() }}) as tagged_sessions,
        cast(tracked_purchases as {{ dbt.type_int() }}) as tracked_purchases,
        sales_date as metric_date
    from stacked

)

select * from final
