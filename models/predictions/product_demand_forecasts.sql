-- One row per SKU: its demand over the supplier's lead time, and when to order it again.
with

forecasts as (

    select * from {{ source('ml', 'demand_forecasts') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'demand'
        and status = 'ok'

),

products as (

    select * from {{ ref('dim_products') }}

),

final as (

    select
        forecasts.product_key,
        products.sku,
        products.product_name,
        products.category,
        products.supplier_id,
        forecasts.pattern,
        forecasts.method,
        forecasts.stock_status,
        forecasts.run_id,
        forecasts.lead_time_days,
        forecasts.observed_days,
        forecasts.stockout_days,
        forecasts.daily_units,
        forecasts.expected_units,
        forecasts.q50,
        forecasts.q80,
        forecasts.q90,
        forecasts.q95,
        forecasts.q98,
        forecasts.safety_stock,
        forecasts.reorder_point,
        forecasts.available,
        forecasts.incoming,
        forecasts.is_lead_time_assumed,
        coalesce(forecasts.order_by_date <= forecasts.as_of_date, false) as is_due,
        forecasts.as_of_date,
        forecasts.order_by_date,
        forecasts.scored_at
    from forecasts
    inner join current_runs
        on forecasts.run_id = current_runs.run_id
    left join products
        on forecasts.product_key = products.product_key

)

select * from final
