-- One row per task, series, model, slice and measure of the current runs, beside the baseline's value.
with

metrics as (

    select * from {{ source('ml', 'model_metrics') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}

),

current_metrics as (

    select metrics.*
    from metrics
    inner join current_runs
        on metrics.run_id = current_runs.run_id

),

baselines as (

    select * from current_metrics
    where is_baseline

),

final as (

    select
        current_metrics.task,
        current_metrics.series,
        current_metrics.model,
        current_metrics.horizon,
        current_metrics.metric,
        current_metrics.run_id,
        current_metrics.value,
        baselines.value as baseline_value,
        current_metrics.n,
        current_metrics.is_champion,
        current_metrics.is_baseline,
        current_metrics.as_of_date,
        current_metrics.scored_at
    from current_metrics
    left join baselines
        on
            current_metrics.run_id = baselines.run_id
            and current_metrics.series = baselines.series
            and current_metrics.horizon = baselines.horizon
            and current_metrics.metric = baselines.metric

)

select * from final
