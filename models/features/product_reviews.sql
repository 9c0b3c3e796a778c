-- One row per SKU and day on which it was reviewed: how often, and with how many stars in all.
--
-- A review names a product, not a variant: it counts for the SKU that fct_reviews files it under, and reaches the
-- others by their product_id.
with

reviews as (

    select * from {{ ref('fct_reviews') }}
    where
        is_countable
        and product_key <> '-1'
        and review_date <= {{ as_of_date() }}

),

final as (

    select
        product_key,
        cast(count(*) as {{ dbt.type_int() }}) as reviews,
        cast(sum(rating) as {{ type_money() }}) as stars,
        review_date
    from reviews
    group by product_key, review_date

)

select * from final
