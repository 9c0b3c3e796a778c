-- One row per SKU of merchandise: what is known of it before anybody bought it.
with

products as (

    select * from {{ ref('dim_products') }}
    where
        is_merchandise
        and product_key <> '-1'

),

final as (

    select
        product_key,
        product_id,
        category,
        brand,
        price as price_amount,
        lead_time_days,
        coalesce(status = 'active', true) and not coalesce(is_deleted, false) as is_active,
        launched_date
    from products

)

select * from final
