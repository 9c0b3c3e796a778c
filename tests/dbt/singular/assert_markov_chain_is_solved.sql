-- Eliminating all channels from the chain must leave its whole chance of an order: in a chain made of
-- whole paths, that is the share of paths that end in one. A channel that the elimination does not
-- know would stay in the chain and be missing here.
{% set months = var('markov_months', 12) %}

with

effects as (

    select
        path_month,
        min(conversion_chance) as least_chance,
        max(conversion_chance) as largest_chance,
        max(case when conversion_chance is null then 1 else 0 end) as has_unknown
    from {{ ref('int_channel_removal_effects') }}
    where {{ is_tested('month', 'path_month') }}
    group by path_month

),

paths as (

    select
        path_key,
        path_month,
        is_converting
    from {{ ref('int_channel_paths') }}
    where
        path_month is not null
        and path_month > (
            select {{ dbt.dateadd('month', -months, 'min(effects.path_month)') }}
            from effects
        )
    group by path_key, path_month, is_converting

),

shares as (

    select
        effects.path_month,
        effects.least_chance,
        effects.largest_chance,
        effects.has_unknown,
        sum(case when paths.is_converting then 1.0 else 0 end) / count(*) as converting_share
    from effects
    inner join paths
        on
            effects.path_month >= paths.path_month
            and {{ dbt.dateadd('month', -months, 'effects.path_month') }} < paths.path_month
    group by effects.path_month, effects.least_chance, effects.largest_chance, effects.has_unknown

)

select *
from shares
where
    (has_unknown = 1 and converting_share > 0)
    or abs(coalesce(least_chance, 0) - converting_share) > 0.000000001
    or abs(coalesce(largest_chance, 0) - converting_share) > 0.000000001
