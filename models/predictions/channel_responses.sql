-- One row per channel and level of weekly spend: what attribution credits it with, and what it truly adds.
with

scores as (

    select * from {{ source('ml', 'channel_response') }}

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
        scores.run_id,
        {{ store_currency() }} as currency,
        scores.point,
        scores.weekly_spend_amount,
        scores.credited_amount,
        scores.credited_lo95,
        scores.credited_hi95,
        scores.incremental_amount,
        scores.incremental_lo95,
        scores.incremental_hi95,
        scores.as_of_date,
        scores.scored_at
    from scores
    inner join current_runs
        on scores.run_id = current_runs.run_id

)

select * from final
