-- In each decomposition the contributions are the change, exactly, and the change is the daily roll-up's.
with

growth as (

    select * from {{ ref('agg_period_growth') }}
    where store_id = '(all)'

),

explained as (

    select
        comparison,
        metric_name,
        decomposition,
        min(change_value) as change_value,
        sum(effect_amount) as effect_amount
    from {{ ref('agg_metric_drivers') }}
    group by comparison, metric_name, decomposition

)

select
    explained.comparison,
    explained.metric_name,
    explained.decomposition,
    explained.change_value,
    explained.effect_amount,
    growth.change_value as growth_change_value
from explained
left join growth
    on
        explained.comparison = growth.comparison
        and explained.metric_name = growth.metric_name
where
    explained.effect_amount <> explained.change_value
    or (explained.change_value <> growth.change_value and growth.change_value is not null)
