-- One row per scored customer: probability of no order in the next 90 days, with its reasons.
with

scores as (

    select * from {{ source('ml', 'churn_scores') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'churn'
        and status = 'ok'

),

customers as (

    select * from {{ ref('dim_customers') }}

),

rfm as (

    select * from {{ ref('customer_rfm') }}
    where is_latest

),

final as (

    select
        scores.customer_key,
        customers.customer_id,
        customers.customer_type,
        customers.country,
        rfm.rfm_segment,
        scores.tier,
        scores.reason_1,
        scores.reason_2,
        scores.reason_3,
        current_runs.champion as model,
        scores.run_id,
        scores.horizon_days,
        scores.churn_probability,
        scores.own_horizon_days,
        scores.own_churn_probability,
        scores.reason_1_log_odds,
        scores.reason_2_log_odds,
        scores.reason_3_log_odds,
        rfm.monetary_amount,
        scores.as_of_date,
        rfm.last_order_date,
        scores.scored_at
    from scores
    inner join current_runs
        on scores.run_id = current_runs.run_id
    left join customers
        on scores.customer_key = customers.customer_key
    left join rfm
        on scores.customer_key = rfm.customer_key

)

select * from final
