-- One row per set of headline cards (of the systems 000, 002 and 004) and card: its value and comparison.
--
-- Sums and counts are of the last 28 days against the 28 before; what needs whole months or a life says so by its
-- dates. A number that the data don't allow is null, never 0.
{% set comparison = 'last_28_days_vs_prior' %}
{% set cards = [
    ('002', ['total_sales', 'orders', 'aov', 'net_profit', 'active_customers', 'conversion', 'ltv', 'churn_rate']),
    ('004', ['total_sales', 'orders', 'active_customers', 'aov', 'ltv', 'returning_customer_rate', 'revenue_growth',
             'categories']),
    ('000', ['total_sales', 'net_profit', 'total_cost', 'orders', 'orders_last_month', 'best_day_sales', 'aov']),
] %}

with

periods as (

    select * from {{ ref('int_comparison_periods') }}
    where comparison = '{{ comparison }}'

),

growth as (

    select * from {{ ref('agg_period_growth') }}
    where store_id = '(all)'

),

drivers as (

    select * from {{ ref('agg_metric_drivers') }}
    where comparison = '{{ comparison }}'

),

orders as (

    select * from {{ ref('fct_orders') }}
    where
        is_countable
        and is_new_customer is not null

),

people as (

    select * from {{ ref('agg_customer_metrics') }}
    where orders > 0

),

customer_periods as (

    select * from {{ ref('agg_customer_periods') }}
    where
        period_grain = 'month'
        and is_complete

),

segments as (

    select * from {{ ref('agg_segments') }}
    where
        segment_scheme = 'lifecycle'
        and segment in ('new', 'active')
        and is_retention_complete

),

best_days as (

    select * from {{ ref('agg_best_days') }}
    where
        store_id = '(all)'
        and period_grain = 'all'

),

buyers as (

    select
        'active_customers' as metric_name,
        count(distinct case when orders.order_date >= periods.period_start_date then orders.customer_key end) as metric_value,
        count(distinct case when orders.order_date <= periods.base_end_date then orders.customer_key end) as base_value,
        periods.period_start_date,
        periods.period_end_date
    from periods
    inner join orders
        on
            orders.order_date >= periods.base_start_date
            and orders.order_date <= periods.period_end_date
    group by periods.period_start_date, periods.period_end_date

),

ranked_months as (

    select
        *,
        row_number() over (order by period_start_date desc nulls last) as month_rank
    from customer_periods

),

-- M37 of the last month whose horizon is over
churn_months as (

    select
        month_start_date,
        1 - sum(retained_customers) / cast(nullif(sum(customers), 0) as numeric(20, 4)) as churn_rate,
        row_number() over (order by month_start_date desc nulls last) as month_rank
    from segments
    group by month_start_date

),

measured as (

    select
        metric_name,
        metric_value,
        base_value,
        period_start_date,
        period_end_date
    from growth
    where
        comparison = '{{ comparison }}'
        and metric_name in ('total_sales', 'orders', 'aov', 'net_profit', 'total_cost')

    union all

    select
        'orders_last_month' as metric_name,
        metric_value,
        base_value,
        period_start_date,
        period_end_date
    from growth
    where
        comparison = 'last_month_vs_prior_month'
        and metric_name = 'orders'

    union all

    select
        'revenue_growth' as metric_name,
        growth_rate as metric_value,
        cast(null as numeric(20, 6)) as base_value,
        period_start_date,
        period_end_date
    from growth
    where
        comparison = 'last_month_vs_prior_year'
        and metric_name = 'total_sales'

    union all

    select
        metric_name,
        metric_value,
        base_value,
        period_start_date,
        period_end_date
    from buyers

    union all

    select
        'conversion' as metric_name,
        driver_value as metric_value,
        driver_base_value as base_value,
        period_start_date,
        period_end_date
    from drivers
    where
        decomposition = 'sessions_conversion_value'
        and driver = 'conversion'

    union all

    select
        'categories' as metric_name,
        sum(case when driver_value > 0 then 1 else 0 end) as metric_value,
        sum(case when driver_base_value > 0 then 1 else 0 end) as base_value,
        min(period_start_date) as period_start_date,
        max(period_end_date) as period_end_date
    from drivers
    where
        decomposition = 'category'
        and segment not in ('(order)', 'Unknown', 'Uncategorised')

    union all

    select
        'ltv' as metric_name,
        sum(historic_clv_amount) / nullif(count(*), 0) as metric_value,
        cast(null as numeric(20, 6)) as base_value,
        min(first_order_date) as period_start_date,
        {{ as_of_date() }} as period_end_date
    from people
    where is_recognisable

    union all

    select
        'returning_customer_rate' as metric_name,
        max(case when month_rank = 1 then returning_customer_rate end) as metric_value,
        max(case when month_rank = 2 then returning_customer_rate end) as base_value,
        max(period_start_date) as period_start_date,
        max(period_end_date) as period_end_date
    from ranked_months
    where month_rank <= 2

    union all

    select
        'churn_rate' as metric_name,
        max(case when month_rank = 1 then churn_rate end) as metric_value,
        max(case when month_rank = 2 then churn_rate end) as base_value,
        max(month_start_date) as period_start_date,
        cast(null as date) as period_end_date
    from churn_months
    where month_rank <= 2

    union all

    select
        'best_day_sales' as metric_name,
        best_total_sales_amount as metric_value,
        cast(null as numeric(20, 6)) as base_value,
        best_date as period_start_date,
        best_date as period_end_date
    from best_days

),

cards as (

    {% for card_set, names in cards -%}
    {% set outer_loop = loop -%}
    {% for name in names -%}
    select
        '{{ card_set }}' as card_set,
        {{ loop.index }} as card_position,
        '{{ name }}' as metric_name
    {% if not (loop.last and outer_loop.last) %}
    union all

    {% endif -%}
    {% endfor -%}
    {% endfor %}

),

final as (

    select
        cards.card_set,
        cards.metric_name,
        case
            when cards.metric_name in ('total_sales', 'aov', 'net_profit', 'total_cost', 'ltv', 'best_day_sales') then 'money'
            when cards.metric_name in ('conversion', 'churn_rate', 'returning_customer_rate', 'revenue_growth') then 'share'
            else 'count'
        end as unit,
        cast(cards.card_position as {{ dbt.type_int() }}) as card_position,
        cast(measured.metric_value as numeric(20, 6)) as metric_value,
        cast(measured.base_value as numeric(20, 6)) as base_value,
        cast(case when measured.base_value > 0 then measured.metric_value / measured.base_value - 1 end as numeric(20, 6))
            as growth_rate,
        measured.period_start_date,
        measured.period_end_date
    from cards
    left join measured
        on cards.metric_name = measured.metric_name
    -- an empty warehouse has no headline
    where exists (select 1 from periods)

)

select * from final
