-- One row per customer, purpose and rank: a product to recommend, and why. Newcomers share the customer '-1'.
with

recommendations as (

    select * from {{ source('ml', 'recommendations') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'recommendations'
        and status = 'ok'

),

products as (

    select * from {{ ref('dim_products') }}

),

final as (

    select
        recommendations.customer_key,
        recommendations.purpose,
        recommendations.product_key,
        products.product_name,
        products.category,
        recommendations.reason,
        recommendations.reason_product_key,
        reason_products.product_name as reason_product_name,
        recommendations.model,
        recommendations.run_id,
        recommendations.rank as recommendation_rank,
        recommendations.score,
        recommendations.as_of_date,
        recommendations.scored_at
    from recommendations
    inner join current_runs
        on recommendations.run_id = current_runs.run_id
    left join products
        on recommendations.product_key = products.product_key
    left join products as reason_products
        on recommendations.reason_product_key = reason_products.product_key

)

select * from final
