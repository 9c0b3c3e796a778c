-- One row per recognisable person with an order: what they were worth, and what the models expect of them.
--
-- A score is there only where a current run wrote one: nothing stands for a model that has not run.
{{ config(meta={'tested': 'weekly'}) }}

with

customers as (

    select * from {{ ref('agg_customer_metrics') }}
    where rfm_code is not null

),

churn as (

    select * from {{ ref('customer_churn_scores') }}

),

clusters as (

    select * from {{ ref('customer_segments') }}

),

lifetimes as (

    select * from {{ ref('customer_lifetime_values') }}

),

final as (

    select
        customers.customer_key,
        customers.customer_id,
        customers.customer_type,
        customers.country,
        customers.rfm_segment,
        customers.strategy_code,
        customers.lifecycle_stage,
        customers.health,
        churn.tier as churn_tier,
        -- the strongest reasons come first, and most of a loyal customer's speak for staying
        case
            when churn.reason_1_log_odds > 0 then churn.reason_1
            when churn.reason_2_log_odds > 0 then churn.reason_2
            when churn.reason_3_log_odds > 0 then churn.reason_3
        end as churn_reason_1,
        clusters.cluster_name,
        customers.orders,
        customers.recency_days,
        customers.historic_clv_amount,
        customers.historic_clv_cm2_amount,
        cast(lifetimes.predicted_amount as {{ type_money() }}) as predicted_clv_amount,
        cast(lifetimes.predicted_low_amount as {{ type_money() }}) as predicted_clv_low_amount,
        cast(lifetimes.predicted_high_amount as {{ type_money() }}) as predicted_clv_high_amount,
        cast(customers.historic_clv_amount + lifetimes.predicted_amount as {{ type_money() }}) as total_clv_amount,
        customers.health_score,
        churn.churn_probability,
        customers.expected_next_order_date,
        customers.as_of_date,
        churn.as_of_date as churn_as_of_date,
        lifetimes.as_of_date as clv_as_of_date
    from customers
    left join churn
        on customers.customer_key = churn.customer_key
    left join clusters
        on customers.customer_key = clusters.customer_key
    left join lifetimes
        on customers.customer_key = lifetimes.customer_key

)

select * from final
