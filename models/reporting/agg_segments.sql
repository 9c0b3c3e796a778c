-- One row per month, way of segmenting and segment: how many people stood in it at the month's end, what
-- they brought, and how many of them ordered again.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['segment_month_key'],
    meta={
        'entity': 'month',
        'entity_column': 'month_start_date',
        'touched_also': [
            '{% for back in range(1, var("churn_horizon_days") // 28 + 2) %}'
            '{{ " union all " if not loop.first }}'
            'select {{ dbt.dateadd("month", -back, "cast(months.entity_id as date)") }} from {{ touched("order_month") }} as months'
            '{% endfor %}',
            '{{ customer_months_since("(select " ~ dbt.dateadd("day", 1 - var("churn_horizon_days"), "max(states.snapshot_date)") ~ " from " ~ this ~ " as states having max(states.snapshot_date) <> " ~ as_of_date() ~ ")") }}',
        ],
    },
) }}

{% set horizon = var('churn_horizon_days') %}
{% set schemes = {'rfm': 'rfm_segment', 'shopify': 'shopify_group', 'lifecycle': 'lifecycle_stage'} %}

with

states as (

    select
        customer_key,
        rfm_segment,
        shopify_group,
        lifecycle_stage,
        previous_rfm_segment,
        orders,
        monetary_amount,
        is_complete,
        month_start_date,
        snapshot_date
    from {{ ref('fct_customer_snapshot') }}
    where {{ is_touched('month_start_date') }}

),

days as (

    select
        customer_key,
        orders,
        demand_amount,
        returns_amount,
        has_order,
        activity_date,
        month_start_date
    from {{ ref('fct_customer_days') }}
    where activity_date <= {{ as_of_date() }}

),

orders as (

    select * from {{ ref('fct_customer_orders') }}
    where
        order_date <= {{ as_of_date() }}
        and {{ is_touched('month_start_date') }}

),

day_months as (

    select
        customer_key,
        month_start_date,
        sum(orders) as orders,
        sum(demand_amount - returns_amount) as net_sales_amount
    from days
    where {{ is_touched('month_start_date') }}
    group by customer_key, month_start_date

),

order_months as (

    select
        customer_key,
        month_start_date,
        sum(cm2_amount) as cm2_amount,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount
    from orders
    group by customer_key, month_start_date

),

-- the months at whose end the horizon began that an order may lie in; only months that are over have days after them
earlier_months as (

    {% for back in range(1, horizon // 28 + 2) -%}
    select
        customer_key,
        activity_date,
        cast({{ dbt.dateadd('month', -back, 'month_start_date') }} as date) as month_start_date,
        cast({{ dbt.dateadd('month', 1 - back, 'month_start_date') }} as date) as next_month_start_date
    from days
    where has_order
    {% if not loop.last -%}
    union all
    {% endif %}
    {%- endfor %}

),

-- who ordered in the days after the month's end
retained as (

    select distinct
        month_start_date,
        customer_key
    from earlier_months
    where
        activity_date < {{ dbt.dateadd('day', horizon, 'next_month_start_date') }}
        and {{ is_touched('month_start_date') }}

),

cells as (

    select
        states.month_start_date,
        states.snapshot_date,
        states.is_complete,
        states.rfm_segment,
        states.shopify_group,
        states.lifecycle_stage,
        count(*) as customers,
        count(case when states.previous_rfm_segment is null then 1 end) as first_month_customers,
        count(retained.customer_key) as retained_customers,
        sum(states.orders) as orders_to_date,
        sum(states.monetary_amount) as monetary_to_date_amount,
        sum(coalesce(day_months.orders, 0)) as orders,
        sum(coalesce(day_months.net_sales_amount, 0)) as net_sales_amount,
        sum(coalesce(order_months.cm2_amount, 0)) as cm2_amount,
        sum(coalesce(order_months.demand_amount, 0)) as demand_amount,
        sum(coalesce(order_months.costed_demand_amount, 0)) as costed_demand_amount
    from states
    left join retained
        on
            states.customer_key = retained.customer_key
            and states.month_start_date = retained.month_start_date
    left join day_months
        on
            states.customer_key = day_months.customer_key
            and states.month_start_date = day_months.month_start_date
    left join order_months
        on
            states.customer_key = order_months.customer_key
            and states.month_start_date = order_months.month_start_date
    group by
        states.month_start_date, states.snapshot_date, states.is_complete,
        states.rfm_segment, states.shopify_group, states.lifecycle_stage

),

named as (

    {% for scheme, column in schemes.items() -%}
    select
        '{{ scheme }}' as segment_scheme,
        {{ column }} as segment,
        cells.*
    from cells
    {% if not loop.last -%}
    union all
    {% endif %}
    {%- endfor %}

),

summed as (

    select
        month_start_date,
        snapshot_date,
        is_complete,
        segment_scheme,
        segment,
        {% for column in ['customers', 'first_month_customers', 'retained_customers', 'orders_to_date', 'monetary_to_date_amount', 'orders', 'net_sales_amount', 'cm2_amount', 'demand_amount', 'costed_demand_amount'] -%}
        sum({{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {% endfor -%}
    from named
    group by month_start_date, snapshot_date, is_complete, segment_scheme, segment

),

final as (

    select
        {{ surrogate_key(['month_start_date', 'segment_scheme', 'segment']) }} as segment_month_key,
        segment_scheme,
        segment,
        cast(customers as {{ dbt.type_int() }}) as customers,
        cast(first_month_customers as {{ dbt.type_int() }}) as first_month_customers,
        cast(retained_customers as {{ dbt.type_int() }}) as retained_customers,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(orders_to_date as {{ dbt.type_int() }}) as orders_to_date,
        cast(
            cast(customers as numeric(20, 6)) / sum(customers) over (partition by month_start_date, segment_scheme)
            as numeric(9, 6)
        ) as share_of_customers,
        cast(
            case
                when {{ dbt.dateadd('day', horizon, 'snapshot_date') }} <= {{ as_of_date() }}
                    then cast(retained_customers as numeric(20, 6)) / customers
            end as numeric(9, 6)
        ) as retention_rate,
        cast(net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(cm2_amount as {{ type_money() }}) as cm2_amount,
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        cast(monetary_to_date_amount as {{ type_money() }}) as monetary_to_date_amount,
        cast(monetary_to_date_amount / customers as {{ type_money() }}) as average_historic_clv_amount,
        is_complete,
        {{ dbt.dateadd('day', horizon, 'snapshot_date') }} <= {{ as_of_date() }} as is_retention_complete,
        month_start_date,
        snapshot_date
    from summed

)

select * from final
