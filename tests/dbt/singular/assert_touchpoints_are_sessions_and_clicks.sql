-- A session is at most one touch, its visitor and day are the session's own, and no bot is a touch.
select
    touches.session_id,
    count(*) as touches
from {{ ref('fct_touchpoints') }} as touches
left join {{ ref('fct_sessions') }} as sessions
    on touches.session_id = sessions.session_id
where touches.touch_type = 'session'
group by touches.session_id
having
    count(*) > 1
    or count(sessions.session_id) = 0
    or min(case when sessions.is_bot then 0 else 1 end) = 0
    or min(case when touches.touch_date = sessions.session_date then 1 else 0 end) = 0
