-- One row: the last complete business date in the data.
--
-- The day of the newest order or session, but never a day on which the newest document was loaded,
-- for that day may go on. What a wrong clock dated after its own load is left out. An empty warehouse
-- gives null. Only another day is logged: newer documents of the same day are no news to who reads the day.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['clock'],
    meta={
        'narrow_touches': {'today': {'key': 'clock', 'columns': ['as_of_date']}},
    },
) }}

with

-- each a maximum of its own, which an index answers without reading the rest
order_events as (

    select max(placed_at) as happened_at
    from {{ ref('stg_shop__orders') }}
    where placed_at <= _loaded_at

),

session_events as (

    select max(started_at) as happened_at
    from {{ ref('stg_shop__sessions') }}
    where started_at <= _loaded_at

),

order_loads as (

    select max(_loaded_at) as loaded_at
    from {{ ref('stg_shop__orders') }}

),

session_loads as (

    select max(_loaded_at) as loaded_at
    from {{ ref('stg_shop__sessions') }}

),

newest as (

    select
        greatest(order_events.happened_at, session_events.happened_at) as last_event_at,
        greatest(order_loads.loaded_at, session_loads.loaded_at) as last_loaded_at
    from order_events
    cross join session_events
    cross join order_loads
    cross join session_loads

),

final as (

    select
        'store' as clock,
        least(
            {{ local_date('last_event_at') }},
            cast({{ dbt.dateadd('day', -1, local_date('last_loaded_at')) }} as date)
        ) as as_of_date,
        last_event_at,
        last_loaded_at
    from newest

)

select * from final
