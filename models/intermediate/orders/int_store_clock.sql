-- One row: the last complete business date in the data.
--
-- The day of the newest order or session, but never a day on which the newest document was loaded,
-- for that day may go on. What a wrong clock dated after its own load is left out. An empty warehouse
-- gives null.
with

orders as (

    select * from {{ ref('stg_shop__orders') }}

),

sessions as (

    select * from {{ ref('stg_shop__sessions') }}

),

happened as (

    select
        placed_at as happened_at,
        _loaded_at
    from orders

    union all

    select
        started_at as happened_at,
        _loaded_at
    from sessions

),

newest as (

    select
        max(case when happened_at <= _loaded_at then happened_at end) as last_event_at,
        max(_loaded_at) as last_loaded_at
    from happened

),

final as (

    select
        least(
            {{ local_date('last_event_at') }},
            cast({{ dbt.dateadd('day', -1, local_date('last_loaded_at')) }} as date)
        ) as as_of_date,
        last_event_at,
        last_loaded_at
    from newest

)

select * from final
