-- One row per review that counts.
{{ config(alias='reviews') }}

with

reviews as (

    select * from {{ ref('fct_reviews') }}
    where is_countable

),

final as (

    select
        review_id,
        customer_key as customer_id,
        product_key as product_id,
        order_id,
        language,
        rating,
        text_length,
        is_verified,
        review_date
    from reviews

)

select * from final
