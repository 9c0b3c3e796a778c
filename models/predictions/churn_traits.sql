-- One row per trait and value: how common it was among active people who then left, and among those who stayed.
with

traits as (

    select * from {{ source('ml', 'churn_traits') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'churn'
        and status = 'ok'

),

final as (

    select
        traits.trait,
        traits.value as trait_value,
        traits.run_id,
        traits.people,
        traits.churned_share,
        traits.kept_share,
        traits.lift,
        traits.churn_rate,
        traits.p_value,
        traits.is_clear,
        traits.counted_on as counted_date,
        traits.as_of_date,
        traits.scored_at
    from traits
    inner join current_runs
        on traits.run_id = current_runs.run_id

)

select * from final
