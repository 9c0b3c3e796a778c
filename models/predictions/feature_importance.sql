-- One row per task, series and fact: how much more the current champion errs if the fact is that of another row.
with

importance as (

    select * from {{ source('ml', 'feature_importance') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where status = 'ok'

),

final as (

    select
        importance.task,
        importance.series,
        importance.fact,
        importance.model,
        importance.features,
        importance.run_id,
        importance.importance,
        importance.deviation,
        importance.rank as importance_rank,
        importance.n,
        importance.as_of_date,
        importance.scored_at
    from importance
    inner join current_runs
        on importance.run_id = current_runs.run_id

)

select * from final
