-- One row per product and stretch of time in which one unit cost was in force.
-- Small, so computed as a whole; what differs is logged.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_id', 'valid_from'],
    meta={'touches': {'product': 'product_id'}},
    indexes=[{'columns': ['product_id']}],
) }}

with

prices as (

    select * from {{ ref('stg_shop__product_prices') }}

),

-- two entries of one moment: the later in the history stands
one_a_moment as (

    select
        product_id,
        changed_at,
        cost,
        row_number() over (
            partition by product_id, changed_at
            order by seq desc nulls last
        ) as entry_rank
    from prices
    where
        changed_at is not null
        and cost is not null

),

final as (

    select
        product_id,
        cost as unit_cost,
        changed_at as valid_from,
        lead(changed_at) over (partition by product_id order by changed_at asc nulls last) as valid_until
    from one_a_moment
    where entry_rank = 1

)

select * from final
