-- A path begins at 'start', ends once, and goes on where the step before it led.
with

steps as (

    select
        *,
        lag(to_state) over (partition by path_key order by step_number asc) as previous_to_state,
        lead(step_number) over (partition by path_key order by step_number asc) as next_step_number
    from {{ ref('int_channel_paths') }}
    where {{ is_tested('person', 'person_key') }}

)

select *
from steps
where
    from_state <> coalesce(previous_to_state, 'start')
    or (step_number = 1) <> (from_state = 'start')
    or (next_step_number is null) <> (to_state in ('conversion', 'null'))
    or (next_step_number is null and (to_state = 'conversion') <> is_converting)
    or from_state = to_state
