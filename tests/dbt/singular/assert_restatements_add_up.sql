-- What a closed day said first and all its restatements add up to what it says now: none is missing.
with

versions as (

    select
        *,
        row_number() over (partition by day_key order by dbt_valid_from asc) as version_number
    from {{ ref('daily_metrics_history') }}

),

changes as (

    select
        store_id,
        metric_date,
        sum(case when measure = 'net_sales_amount' then change_value else 0 end) as net_sales_amount,
        sum(case when measure = 'orders' then change_value else 0 end) as orders
    from {{ ref('restatements') }}
    group by store_id, metric_date

)

select
    first_said.store_id,
    first_said.metric_date
from versions as first_said
left join changes
    on
        first_said.store_id = changes.store_id
        and first_said.metric_date = changes.metric_date
left join {{ ref('agg_daily_metrics') }} as daily
    on
        first_said.store_id = daily.store_id
        and first_said.metric_date = daily.metric_date
where
    first_said.version_number = 1
    and (
        first_said.net_sales_amount + coalesce(changes.net_sales_amount, 0) <> coalesce(daily.net_sales_amount, 0)
        or first_said.orders + coalesce(changes.orders, 0) <> coalesce(daily.orders, 0)
    )
