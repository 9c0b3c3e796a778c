-- One row per store ('(all)' is the shop) and weekday: means per date, over all complete days.
--
-- Means and not sums: a sum favours the weekdays that occur once more.
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

averaged as (

    select
        scoped.store_id,
        dates.iso_day_of_week,
        dates.day_name,
        count(*) as days,
        sum(scoped.total_sales_amount) as total_sales_amount,
        avg(scoped.total_sales_amount) as mean_total_sales_amount,
        avg(cast(scoped.orders as numeric(20, 6))) as mean_orders
    from scoped
    inner join dates
        on scoped.metric_date = dates.date_day
    group by scoped.store_id, dates.iso_day_of_week, dates.day_name

),

final as (

    select
        store_id,
        day_name,
        iso_day_of_week,
        cast(days as {{ dbt.type_int() }}) as days,
        cast(total_sales_amount as {{ type_money() }}) as total_sales_amount,
        cast(mean_total_sales_amount as {{ type_money() }}) as mean_total_sales_amount,
        cast(mean_orders as numeric(20, 6)) as mean_orders,
        cast(
            row_number() over (
                partition by store_id
                order by mean_total_sales_amount desc nulls last, iso_day_of_week asc
            ) as {{ dbt.type_int() }}
        ) as weekday_rank
    from averaged

)

select * from final
