-- One row per month and channel: by how much the chance of an order falls without that channel.
--
-- A Markov chain of first order over the paths that ended in the twelve months up to this one. Without
-- a channel, whoever would have come through it is lost. The chance of arriving from 'start' at
-- 'conversion' is exact: one channel after another is eliminated from the chain, each way through it
-- becoming a direct one. No power of the matrix is cut off anywhere.
{% set months = var('markov_months', 12) %}
{% set later_months = [] %}
{% for month in range(1, months) -%}
    {%- do later_months.append(
        'select ' ~ dbt.dateadd('month', month, 'cast(touched_keys.entity_id as date)')
        ~ " from touched_keys where touched_keys.entity = 'month'"
    ) -%}
{%- endfor %}

{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['path_month', 'marketing_channel'],
    pre_hook=hash_joins(),
    meta={
        'entity': 'month',
        'entity_column': 'path_month',
        'touched_also': later_months,
    },
) }}

with

transitions as (

    select * from {{ ref('int_channel_transitions') }}

),

months as (

    select path_month
    from transitions
    where {{ is_touched('path_month') }}
    group by path_month

),

windowed as (

    select
        months.path_month,
        transitions.from_state,
        transitions.to_state,
        sum(transitions.transitions) as transitions
    from months
    inner join transitions
        on
            months.path_month >= transitions.path_month
            and {{ dbt.dateadd('month', -months, 'months.path_month') }} < transitions.path_month
    group by months.path_month, transitions.from_state, transitions.to_state

),

-- rounded at a fixed digit, so that no order of adding up changes a result
chances as (

    select
        path_month,
        from_state,
        to_state,
        cast(
            transitions * 1.0 / sum(transitions) over (partition by path_month, from_state) as numeric(30, 20)
        ) as chance
    from windowed

),

removals as (

    select 'none' as removed
    {% for channel in marketing_channels() -%}
    union all
    select '{{ channel }}' as removed
    {% endfor %}
),

chain_0 as (

    select
        chances.path_month,
        removals.removed,
        chances.from_state,
        chances.to_state,
        chances.chance
    from chances
    cross join removals
    where
        chances.to_state <> 'null'
        and chances.from_state <> removals.removed
        and chances.to_state <> removals.removed

),

{% for channel in marketing_channels() %}
ways_{{ loop.index }} as (

    select
        path_month,
        removed,
        from_state,
        to_state,
        chance
    from chain_{{ loop.index0 }}
    where
        from_state <> '{{ channel }}'
        and to_state <> '{{ channel }}'

    union all

    select
        arriving.path_month,
        arriving.removed,
        arriving.from_state,
        leaving.to_state,
        arriving.chance * leaving.chance / (1 - coalesce(staying.chance, 0)) as chance
    from chain_{{ loop.index0 }} as arriving
    inner join chain_{{ loop.index0 }} as leaving
        on
            arriving.path_month = leaving.path_month
            and arriving.removed = leaving.removed
            and leaving.from_state = '{{ channel }}'
            and leaving.to_state <> '{{ channel }}'
    left join chain_{{ loop.index0 }} as staying
        on
            arriving.path_month = staying.path_month
            and arriving.removed = staying.removed
            and staying.from_state = '{{ channel }}'
            and staying.to_state = '{{ channel }}'
    where
        arriving.to_state = '{{ channel }}'
        and arriving.from_state <> '{{ channel }}'

),

chain_{{ loop.index }} as (

    select
        path_month,
        removed,
        from_state,
        to_state,
        cast(sum(chance) as numeric(30, 20)) as chance
    from ways_{{ loop.index }}
    group by path_month, removed, from_state, to_state

),

{% endfor %}
arrivals as (

    select
        path_month,
        removed,
        chance
    from chain_{{ marketing_channels() | length }}
    where
        from_state = 'start'
        and to_state = 'conversion'

),

seen as (

    select
        path_month,
        to_state as marketing_channel
    from windowed
    where to_state not in ('conversion', 'null')
    group by path_month, to_state

),

final as (

    select
        seen.path_month,
        seen.marketing_channel,
        cast(everything.chance as numeric(12, 10)) as conversion_chance,
        cast(coalesce(without.chance, 0) as numeric(12, 10)) as conversion_chance_without,
        cast(
            case
                when everything.chance > 0 then 1 - coalesce(without.chance, 0) / everything.chance
                else 0
            end as numeric(12, 10)
        ) as removal_effect
    from seen
    left join arrivals as everything
        on
            seen.path_month = everything.path_month
            and everything.removed = 'none'
    left join arrivals as without
        on
            seen.path_month = without.path_month
            and seen.marketing_channel = without.removed

)

select * from final
