-- One row per customer of the current list: whom to win back, the greatest margin at stake first.
with

listed as (

    select * from {{ source('ml', 'winback') }}

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

final as (

    select
        listed.customer_key,
        customers.customer_id,
        customers.customer_type,
        customers.country,
        listed.campaign,
        listed.run_id,
        listed.rank as list_rank,
        listed.churn_probability,
        listed.margin_share,
        listed.expected_amount,
        listed.expected_margin_amount,
        listed.is_holdout,
        listed.listed_on as listed_date,
        listed.scored_at
    from listed
    inner join current_runs
        on listed.run_id = current_runs.run_id
    left join customers
        on listed.customer_key = customers.customer_key

)

select * from final
