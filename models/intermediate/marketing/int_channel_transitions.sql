-- One row per month and pair of states: how many paths that ended in the month went from one to the other.
with

steps as (

    select * from {{ ref('int_channel_paths') }}
    where path_month is not null

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
