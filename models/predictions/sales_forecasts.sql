-- One row per series, dimension, member, period and model: the current run's forecasts of days, months and a year.
with

forecasts as (

    select * from {{ source('ml', 'forecasts') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'forecast'
        and status = 'ok'

),

final as (

    select
        forecasts.run_id,
        forecasts.series,
        forecasts.dimension,
        forecasts.member,
        forecasts.model,
        forecasts.grain,
        case when forecasts.series <> 'orders' then {{ store_currency() }} end as currency,
        forecasts.horizon_days,
        forecasts.yhat,
        forecasts.lo80,
        forecasts.hi80,
        forecasts.lo95,
        forecasts.hi95,
        forecasts.is_champion,
        forecasts.is_closed,
        forecasts.as_of_date,
        forecasts.target_date,
        forecasts.scored_at
    from forecasts
    inner join current_runs
        on forecasts.run_id = current_runs.run_id

)

select * from final
