-- One row per published review with words: what was written of which product, and how many stars.
with

reviews as (

    select * from {{ ref('fct_reviews') }}
    where
        not is_deleted
        and coalesce(status, 'published') in ('published', 'approved')
        and review_date <= {{ as_of_date() }}

),

texts as (

    select * from {{ ref('int_review_texts') }}

),

final as (

    select
        reviews.review_id,
        case when reviews.product_key <> '-1' then reviews.product_key end as product_key,
        reviews.language,
        texts.text,
        -- stars beyond the scale are no opinion
        cast(case when reviews.rating between 1 and 5 then reviews.rating end as {{ dbt.type_float() }}) as rating,
        reviews.review_date
    from reviews
    inner join texts
        on reviews.review_id = texts.review_id

)

select * from final
