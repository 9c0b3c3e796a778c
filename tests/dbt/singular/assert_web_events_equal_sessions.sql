-- A session says how many events it has, and of which kind: they are there, and no event is without one.
with

events as (

    select
        session_id,
        count(*) as event_count,
        count(case when event_type = 'page_view' then 1 end) as page_views,
        count(case when event_type = 'purchase' then 1 end) as purchases
    from {{ ref('fct_web_events') }}
    where {{ is_tested('session', 'session_id') }}
    group by session_id

),

sessions as (

    select * from {{ ref('fct_sessions') }}
    where {{ is_tested('session', 'session_id') }}

)

select coalesce(sessions.session_id, events.session_id) as session_id
from sessions
full outer join events
    on sessions.session_id = events.session_id
where
    coalesce(sessions.event_count, 0) <> coalesce(events.event_count, 0)
    or coalesce(sessions.page_views, 0) <> coalesce(events.page_views, 0)
    or coalesce(sessions.purchases, 0) <> coalesce(events.purchases, 0)
    or sessions.session_id is null
