-- One row per task: the run whose scores are current: the one that a person has pinned, else the newest.
with

runs as (

    select * from {{ source('ml', 'runs') }}

),

pins as (

    select * from {{ source('ml', 'pins') }}

),

ranked as (

    select
        runs.*,
        pins.run_id is not null as is_pinned,
        row_number() over (
            partition by runs.task
            order by
                case when pins.run_id is not null then 0 else 1 end,
                runs.confirmed_at desc nulls last,
                runs.scored_at desc nulls last,
                runs.run_id asc
        ) as recency
    from runs
    left join pins
        on
            runs.task = pins.task
            and runs.run_id = pins.run_id

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
        is_pinned,
        as_of_date,
        trained_from,
        trained_to,
        scored_at,
        confirmed_at
    from ranked
    where recency = 1

)

select * from final
