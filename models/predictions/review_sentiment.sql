-- One row per review with words: how pleased it is, by the current run.
with

scores as (

    select * from {{ source('ml', 'review_sentiment') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'sentiment'
        and status = 'ok'

),

final as (

    select
        scores.review_id,
        scores.product_key,
        scores.language,
        scores.label as sentiment_label,
        scores.method,
        scores.run_id,
        scores.rating,
        scores.sentiment as sentiment_score,
        scores.lexicon_score,
        scores.is_covered,
        scores.contradicts_rating as is_contradicting_rating,
        scores.as_of_date,
        scores.review_date,
        scores.scored_at
    from scores
    inner join current_runs
        on scores.run_id = current_runs.run_id

)

select * from final
