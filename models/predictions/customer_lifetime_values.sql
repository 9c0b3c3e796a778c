-- One row per scored customer: what they were worth, and what they are expected to spend in the next 12 months.
with

scores as (

    select * from {{ source('ml', 'lifetime_values') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'lifetime'
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
        current_runs.champion as model,
        scores.run_id,
        scores.horizon_days,
        rfm.monetary_amount as historic_amount,
        scores.predicted_amount,
        scores.lo80 as predicted_low_amount,
        scores.hi80 as predicted_high_amount,
        scores.expected_orders,
        scores.expected_order_amount,
        scores.as_of_date,
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
