-- One row per run, series, horizon and measure: how good scores were once their days were over.
with

performance as (

    select * from {{ source('ml', 'model_performance') }}

),

versions as (

    select * from {{ source('ml', 'model_versions') }}

),

final as (

    select
        performance.task,
        performance.series,
        performance.horizon,
        performance.metric,
        performance.run_id,
        performance.model_version,
        versions.version,
        performance.value,
        performance.baseline_value,
        performance.backtest_value,
        performance.n,
        performance.is_degraded,
        performance.as_of_date,
        performance.measured_to as measured_to_date,
        performance.scored_at
    from performance
    left join versions
        on performance.run_id = versions.run_id

)

select * from final
