-- One row per month, quarter and year: who bought, for the first time or again, and the sales of each.
--
-- People are counted in each period, since they cannot be added up over periods. Sales are on the event
-- basis: a refund stands in its own period, under new or returning as its order does.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['period_key'],
    meta={
        'entity': 'year',
        'entity_column': 'year_start_date',
        'touched_also': [
            'select {{ dbt.date_trunc("year", "cast(days.entity_id as date)") }} from {{ touched("day") }} as days',
            'select {{ dbt.date_trunc("year", "cast(months.entity_id as date)") }} from {{ touched("month") }} as months',
            'select {{ dbt.date_trunc("year", as_of_date()) }}',
            'select {{ dbt.date_trunc("year", "max(periods.period_start_date)") }} from {{ this }} as periods',
        ],
    },
) }}

{% set grains = ['month', 'quarter', 'year'] %}

with

orders as (

    select * from {{ ref('fct_customer_orders') }}
    where
        order_date <= {{ as_of_date() }}
        and {{ is_touched("cast(" ~ dbt.date_trunc('year', 'order_date') ~ " as date)") }}

),

days as (

    select * from {{ ref('int_customer_kind_days') }}
    where
        metric_date <= {{ as_of_date() }}
        and {{ is_touched("cast(" ~ dbt.date_trunc('year', 'metric_date') ~ " as date)") }}

),

money as (

    {% for grain in grains -%}
    select
        '{{ grain }}' as period_grain,
        cast({{ dbt.date_trunc(grain, 'metric_date') }} as date) as period_start_date,
        sum(anonymous_orders) as anonymous_orders,
        {% for kind in ['', 'new_', 'returning_', 'unknown_'] -%}
        sum({{ kind }}total_sales_amount) as {{ kind }}total_sales_amount,
        sum({{ kind }}net_sales_amount) as {{ kind }}net_sales_amount{{ ',' if not loop.last }}
        {% endfor -%}
    from days
    group by cast({{ dbt.date_trunc(grain, 'metric_date') }} as date)
    {% if not loop.last -%}
    union all
    {% endif %}
    {%- endfor %}

),

month_people as (

    select
        month_start_date,
        customer_key,
        count(*) as orders,
        max(case when order_seq = 1 then 1 else 0 end) as is_new,
        -- an order with one before it, whenever that was: a person can be both in one period
        max(case when order_seq > 1 then 1 else 0 end) as is_returning
    from orders
    group by month_start_date, customer_key

),

people as (

    {% for grain in grains -%}
    select
        '{{ grain }}' as period_grain,
        cast({{ dbt.date_trunc(grain, 'month_start_date') }} as date) as period_start_date,
        customer_key,
        sum(orders) as orders,
        max(is_new) as is_new,
        max(is_returning) as is_returning
    from month_people
    group by cast({{ dbt.date_trunc(grain, 'month_start_date') }} as date), customer_key
    {% if not loop.last -%}
    union all
    {% endif %}
    {%- endfor %}

),

counted as (

    select
        period_grain,
        period_start_date,
        count(*) as active_customers,
        sum(is_new) as new_customers,
        sum(is_returning) as returning_customers,
        count(case when orders >= 2 then 1 end) as multiple_order_customers,
        sum(orders) as orders
    from people
    group by period_grain, period_start_date

),

-- a period with refunds alone is one, too
periods as (

    select
        period_grain,
        period_start_date
    from money
    union
    select
        period_grain,
        period_start_date
    from counted

),

ended as (

    select
        period_grain,
        period_start_date,
        cast(
            case period_grain
                when 'month' then {{ dbt.dateadd('day', -1, dbt.dateadd('month', 1, 'period_start_date')) }}
                when 'quarter' then {{ dbt.dateadd('day', -1, dbt.dateadd('month', 3, 'period_start_date')) }}
                else {{ dbt.dateadd('day', -1, dbt.dateadd('year', 1, 'period_start_date')) }}
            end as date
        ) as period_end_date
    from periods

),

joined as (

    select
        ended.period_grain,
        ended.period_start_date,
        ended.period_end_date,
        coalesce(counted.active_customers, 0) as active_customers,
        coalesce(counted.new_customers, 0) as new_customers,
        coalesce(counted.returning_customers, 0) as returning_customers,
        coalesce(counted.multiple_order_customers, 0) as multiple_order_customers,
        coalesce(counted.orders, 0) as identified_orders,
        coalesce(money.anonymous_orders, 0) as anonymous_orders,
        {% for kind in ['', 'new_', 'returning_', 'unknown_'] -%}
        coalesce(money.{{ kind }}total_sales_amount, 0) as {{ kind }}total_sales_amount,
        coalesce(money.{{ kind }}net_sales_amount, 0) as {{ kind }}net_sales_amount{{ ',' if not loop.last }}
        {% endfor -%}
    from ended
    left join counted
        on
            ended.period_grain = counted.period_grain
            and ended.period_start_date = counted.period_start_date
    left join money
        on
            ended.period_grain = money.period_grain
            and ended.period_start_date = money.period_start_date

),

final as (

    select
        {{ surrogate_key(['period_grain', 'period_start_date']) }} as period_key,
        period_grain,
        {% for count in ['active_customers', 'new_customers', 'returning_customers', 'multiple_order_customers', 'identified_orders', 'anonymous_orders'] -%}
        cast({{ count }} as {{ dbt.type_int() }}) as {{ count }},
        {% endfor -%}
        cast(
            case when active_customers > 0 then cast(returning_customers as numeric(20, 6)) / active_customers end
            as numeric(9, 6)
        ) as returning_customer_rate,
        cast(
            case when active_customers > 0 then cast(identified_orders as numeric(20, 6)) / active_customers end
            as numeric(12, 6)
        ) as purchase_frequency,
        {% for kind in ['', 'new_', 'returning_', 'unknown_'] -%}
        cast({{ kind }}total_sales_amount as {{ type_money() }}) as {{ kind }}total_sales_amount,
        cast({{ kind }}net_sales_amount as {{ type_money() }}) as {{ kind }}net_sales_amount,
        {% endfor -%}
        period_end_date <= {{ as_of_date() }} as is_complete,
        period_start_date,
        period_end_date,
        cast({{ dbt.date_trunc('year', 'period_start_date') }} as date) as year_start_date
    from joined

)

select * from final
