-- One row per channel that costs something: what to do with its budget, or why nothing is said.
with

scores as (

    select * from {{ source('ml', 'budget_advice') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'marketing'
        and status = 'ok'

),

final as (

    select
        scores.marketing_channel,
        scores.advice,
        scores.reason,
        scores.run_id,
        {{ store_currency() }} as currency,
        scores.weeks_with_spend,
        scores.usual_spend_amount,
        scores.largest_spend_amount,
        scores.advised_spend_amount,
        scores.decay,
        scores.half_saturation_amount,
        scores.credited_per_spend,
        scores.incremental_per_spend,
        scores.incremental_per_spend_lo95,
        scores.incremental_per_spend_hi95,
        scores.weekly_gain_amount,
        scores.weekly_gain_lo95,
        scores.weekly_gain_hi95,
        scores.as_of_date,
        scores.scored_at
    from scores
    inner join current_runs
        on scores.run_id = current_runs.run_id

)

select * from final
