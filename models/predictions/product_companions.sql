-- One row per product and partner: what goes with it, best first, by the model that completes baskets best.
with

pairs as (

    select * from {{ source('ml', 'product_pairs') }}

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
        pairs.product_key,
        products.product_name,
        pairs.other_product_key,
        others.product_name as other_product_name,
        others.category as other_category,
        pairs.model,
        pairs.run_id,
        pairs.rank as companion_rank,
        pairs.orders_with_both,
        pairs.support,
        pairs.confidence,
        pairs.lift,
        pairs.weight,
        pairs.as_of_date,
        pairs.scored_at
    from pairs
    inner join current_runs
        on pairs.run_id = current_runs.run_id
    left join products
        on pairs.product_key = products.product_key
    left join products as others
        on pairs.other_product_key = others.product_key

)

select * from final
