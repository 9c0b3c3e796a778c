-- One row per SKU: what it will sell in the next 90 days, or in its first 90 days if it is new.
with

predictions as (

    select * from {{ source('ml', 'product_predictions') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'products'
        and status = 'ok'

),

products as (

    select * from {{ ref('dim_products') }}

),

final as (

    select
        predictions.product_key,
        products.sku,
        products.product_name,
        products.category,
        products.brand,
        predictions.product_group,
        predictions.model,
        predictions.run_id,
        {{ store_currency() }} as currency,
        predictions.horizon_days,
        predictions.units,
        predictions.lo80,
        predictions.hi80,
        predictions.baseline_units,
        predictions.last_units,
        predictions.price_amount,
        predictions.revenue_amount,
        predictions.as_of_date,
        predictions.scored_at
    from predictions
    inner join current_runs
        on predictions.run_id = current_runs.run_id
    left join products
        on predictions.product_key = products.product_key

)

select * from final
