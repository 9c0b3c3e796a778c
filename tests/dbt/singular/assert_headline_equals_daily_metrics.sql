-- The headline is the sum of the days that are over, and of nothing else.
with

daily as (

    select
        sum(net_sales_amount) as net_sales_amount,
        sum(total_sales_amount) as total_sales_amount,
        sum(orders) as orders,
        sum(units) as units
    from {{ ref('agg_daily_metrics') }}
    where is_complete

)

select headline.as_of_date
from {{ ref('agg_headline_kpis') }} as headline
cross join daily
where
    headline.net_sales_amount <> daily.net_sales_amount
    or headline.total_sales_amount <> daily.total_sales_amount
    or headline.orders <> daily.orders
    or headline.units <> daily.units
