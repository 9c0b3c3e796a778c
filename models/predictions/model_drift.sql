-- One row per task, kind and column of the current runs: how far its values have moved since an earlier run.
with

drift as (

    select * from {{ source('ml', 'drift') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}

),

final as (

    select
        drift.task,
        drift.kind,
        drift.name as column_name,
        drift.run_id,
        drift.reference_run_id,
        drift.psi as stability_index,
        drift.threshold,
        drift.n,
        drift.reference_n,
        drift.is_drifted,
        drift.as_of_date,
        drift.scored_at
    from drift
    inner join current_runs
        on drift.run_id = current_runs.run_id

)

select * from final
