-- One row per buyer group and product, category or shop: how demand answers to the price, and which price to try.
with

scores as (

    select * from {{ source('ml', 'price_elasticity') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'elasticity'
        and status = 'ok'

),

products as (

    select
        coalesce(product_id, product_key) as product_id,
        min(product_name) as product_name
    from {{ ref('dim_products') }}
    group by coalesce(product_id, product_key)

),

final as (

    select
        scores.level,
        scores.member,
        scores.buyer_group,
        scores.category,
        products.product_name,
        scores.status,
        scores.reason,
        scores.advice,
        scores.advice_reason,
        current_runs.champion as model,
        scores.run_id,
        {{ store_currency() }} as currency,
        scores.elasticity,
        scores.lo95,
        scores.hi95,
        scores.markdown_elasticity,
        scores.markdown_lo95,
        scores.markdown_hi95,
        scores.products,
        scores.weeks,
        scores.price_deviation,
        scores.weekly_units,
        scores.price_amount,
        scores.lowest_amount,
        scores.highest_amount,
        scores.advised_amount,
        scores.advised_lo95,
        scores.advised_hi95,
        scores.unit_cost_amount,
        scores.weekly_gain_amount,
        scores.weekly_gain_lo95,
        scores.weekly_gain_hi95,
        scores.is_lead,
        scores.as_of_date,
        scores.scored_at
    from scores
    inner join current_runs
        on scores.run_id = current_runs.run_id
    left join products
        on
            scores.member = products.product_id
            and scores.level = 'product'

)

select * from final
