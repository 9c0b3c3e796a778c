-- One row per review with words: headline and text as they were written.
with

reviews as (

    select * from {{ ref('stg_shop__reviews') }}
    where not is_deleted

),

final as (

    select
        review_id,
        case
            when title is null then body
            when body is null then title
            else title || '. ' || body
        end as text
    from reviews
    where
        title is not null
        or body is not null

)

select * from final
