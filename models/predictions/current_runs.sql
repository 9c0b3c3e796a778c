-- One row per task: the run whose scores are current.
with

runs as (

    select * from {{ source('ml', 'runs') }}

),

ranked as (

    select
        runs.*,
        row_number() over (
            partition by task
            order by confirmed_at desc nulls last, scored_at desc nulls last, run_id asc
        ) as recency
    from runs

),

final as (

    select
        run_id,
        task,
        model_version,
        code_version,
        status,
        note,
        champion,
        baseline,
        row_count,
        as_of_date,
        trained_from,
        trained_to,
        scored_at,
        confirmed_at
    from ranked
    where recency = 1

)

select * from final
