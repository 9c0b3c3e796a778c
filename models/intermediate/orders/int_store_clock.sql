-- One row: the last complete business date in the data.
--
-- A day is complete when something happened after its end, or within `day_end_grace_hours` before
-- it: a shop that sells into the night has no order at 23:59 every day. What a wrong clock dated
-- after its own load is left out. An empty warehouse gives null.
with

orders as (

    select * from {{ ref('stg_shop__orders') }}

),

sessions as (

    select * from {{ ref('stg_shop__sessions') }}

),

happened as (

    select placed_at as happened_at
    from orders
    where placed_at <= _loaded_at

    union all

    select started_at as happened_at
    from sessions
    where started_at <= _loaded_at

),

last_moment as (

    select max(happened_at) as happened_at
    from happened

),

final as (

    select
        cast(
            {{ dbt.dateadd('day', -1, local_date(dbt.dateadd('hour', var('day_end_grace_hours'), 'happened_at'))) }}
            as date
        ) as as_of_date,
        happened_at as last_event_at
    from last_moment

)

select * from final
