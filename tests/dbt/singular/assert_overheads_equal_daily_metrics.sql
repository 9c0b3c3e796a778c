-- The overheads of all days that are over are those of the roll-up.
with

overheads as (

    select sum(overhead_amount) as overhead_amount
    from {{ ref('fct_overheads') }}
    where overhead_date <= {{ as_of_date() }}

),

daily as (

    select sum(overhead_amount) as overhead_amount
    from {{ ref('agg_daily_metrics') }}
    where metric_date <= {{ as_of_date() }}

)

select overheads.overhead_amount
from overheads
cross join daily
where coalesce(overheads.overhead_amount, 0) <> coalesce(daily.overhead_amount, 0)
