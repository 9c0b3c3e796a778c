-- One row per month and pair of states: how many paths that ended in the month went from one to the other.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['path_month', 'from_state', 'to_state'],
    meta={
        'entity': 'month',
        'entity_column': 'path_month',
    },
    indexes=[{'columns': ['path_month']}],
) }}
with

steps as (

    select * from {{ ref('int_channel_paths') }}
    where
        path_month is not null
        and {{ is_touched('path_month') }}

),

final as (

    select
        path_month,
        from_state,
        to_state,
        cast(count(*) as {{ dbt.type_int() }}) as transitions
    from steps
    group by path_month, from_state, to_state

)

select * from final
