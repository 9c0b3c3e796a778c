-- One row per month and channel: its share of the removal effects, to four digits.
--
-- Rounded, so that one more path among thousands does not move the credit of every order of a month.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['path_month', 'marketing_channel'],
    meta={
        'entity': 'month',
        'entity_column': 'path_month',
    },
) }}
with

effects as (

    select * from {{ ref('int_channel_removal_effects') }}
    where {{ is_touched('path_month') }}

),

summed as (

    select
        path_month,
        marketing_channel,
        removal_effect,
        sum(removal_effect) over (partition by path_month) as all_effects
    from effects

),

final as (

    select
        path_month,
        marketing_channel,
        cast(
            case when all_effects > 0 then removal_effect / all_effects else 0 end as numeric(7, 4)
        ) as weight
    from summed

)

select * from final
