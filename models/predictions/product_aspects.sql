-- One row per product and aspect or term that its reviews speak of, by the current run.
with

aspects as (

    select * from {{ source('ml', 'product_aspects') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'sentiment'
        and status = 'ok'

),

final as (

    select
        aspects.product_key,
        aspects.kind,
        aspects.name as aspect,
        aspects.run_id,
        aspects.reviews,
        aspects.share as share_of_reviews,
        aspects.mean_rating,
        aspects.product_mean_rating,
        aspects.mean_sentiment,
        aspects.z as rating_z,
        aspects.as_of_date,
        aspects.scored_at
    from aspects
    inner join current_runs
        on aspects.run_id = current_runs.run_id

)

select * from final
