-- One row per day, dimension, member and metric that was out of the ordinary, by the current run.
with

anomalies as (

    select * from {{ source('ml', 'anomalies') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'anomalies'
        and status = 'ok'

),

final as (

    select
        anomalies.run_id,
        anomalies.dimension,
        anomalies.member,
        anomalies.metric,
        anomalies.direction,
        anomalies.method,
        anomalies.score,
        anomalies.threshold,
        anomalies.expected as expected_value,
        anomalies.actual as actual_value,
        anomalies.as_of_date,
        anomalies.date as metric_date,
        anomalies.scored_at
    from anomalies
    inner join current_runs
        on anomalies.run_id = current_runs.run_id

)

select * from final
