-- One row per store ('(all)' is the shop) and calendar month or year, and one for all days: its best date.
with

daily as (

    select * from {{ ref('agg_daily_metrics') }}
    where is_complete

),

dates as (

    select * from {{ ref('dim_date') }}

),

scoped as (

    select
        store_id,
        metric_date,
        total_sales_amount,
        orders
    from daily

    union all

    select
        '(all)' as store_id,
        metric_date,
        sum(total_sales_amount) as total_sales_amount,
        sum(orders) as orders
    from daily
    group by metric_date

),

in_periods as (

    {% for grain, start in [
        ('month', 'dates.month_start_date'),
        ('year', 'dates.year_start_date'),
        ('all', "cast('0001-01-01' as date)"),
    ] -%}
    select
        scoped.store_id,
        '{{ grain }}' as period_grain,
        {{ start }} as period_start_date,
        scoped.metric_date,
        scoped.total_sales_amount,
        scoped.orders
    from scoped
    inner join dates
        on scoped.metric_date = dates.date_day
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

ranked as (

    select
        *,
        -- the earlier of two equal days
        row_number() over (
            partition by store_id, period_grain, period_start_date
            order by total_sales_amount desc nulls last, metric_date asc nulls last
        ) as day_rank,
        min(metric_date) over (partition by store_id, period_grain, period_start_date) as first_date,
        sum(total_sales_amount) over (partition by store_id, period_grain, period_start_date) as period_total_sales_amount
    from in_periods

),

final as (

    select
        store_id,
        period_grain,
        cast(total_sales_amount as {{ type_money() }}) as best_total_sales_amount,
        cast(orders as {{ dbt.type_int() }}) as best_orders,
        cast(
            case when period_total_sales_amount > 0 then total_sales_amount / period_total_sales_amount end
            as numeric(20, 6)
        ) as share_of_period,
        case when period_grain = 'all' then first_date else period_start_date end as period_start_date,
        metric_date as best_date
    from ranked
    where
        day_rank = 1
        and total_sales_amount > 0

)

select * from final
