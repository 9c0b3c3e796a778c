-- One row per contact of a person or visitor with the shop's marketing: visits, clicks without a recorded
-- visit, impressions, messages sent and opened, and tags of orders whose visit was not recorded.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['touch_key'],
    meta={
        'entity': 'touch',
        'entity_column': 'touch_key',
        'touches': {'customer': 'customer_key', 'person': 'person_key'},
        'touched_also': [
            "select 'session:' || touched_keys.entity_id from touched_keys where touched_keys.entity = 'session'",
            "select 'event:' || touched_keys.entity_id from touched_keys where touched_keys.entity = 'event'",
            "select 'order:' || touched_keys.entity_id from touched_keys where touched_keys.entity = 'order'",
            """
            select 'order:' || order_id from {{ ref('int_session_orders') }}
            where session_id in {{ touched('session') }}
            """,
            """
            select touch_key from {{ ref('int_campaign_events_priced') }}
            where session_id in {{ touched('session') }}
            """,
            """
            select touch_key from {{ ref('int_campaign_events_priced') }}
            where visitor_key in {{ touched('visitor') }}
            """,
            """
            select touch_key from {{ ref('int_campaign_events_priced') }}
            where identity_id in {{ touched('identity') }}
            """,
        ],
    },
    indexes=[{'columns': ['touch_key']}, {'columns': ['customer_key']}, {'columns': ['person_key']}],
) }}
with

sessions as (

    select * from {{ ref('int_sessions_grouped') }}
    where
        is_countable
        and {{ is_touched('touch_key') }}

),

events as (

    select * from {{ ref('int_campaign_events_priced') }}
    where {{ is_touched('touch_key') }}

),

tagged_orders as (

    select * from {{ ref('int_order_channels') }}
    where
        marketing_channel not in ('direct', 'offline')
        and {{ is_touched('touch_key') }}

),

all_sessions as (

    select
        session_id,
        started_at
    from {{ ref('int_sessions_grouped') }}
    where is_countable

),

all_events as (

    select
        session_id,
        cost_amount
    from {{ ref('int_campaign_events_priced') }}
    where
        event_type = 'click'
        and session_id is not null

),

visits as (

    select
        visitor_key,
        visitor_customer_key
    from {{ ref('int_sessions_identified') }}

),

identities as (

    select
        identity_id,
        customer_key
    from {{ ref('int_customers_resolved') }}

),

orders as (

    select
        order_id,
        customer_key,
        order_date,
        ordered_at
    from {{ ref('int_orders_classified') }}
    where is_countable

),

placed_in as (

    select
        order_id,
        session_id
    from {{ ref('int_session_orders') }}

),

-- the click that opened a session is that session
session_clicks as (

    select
        sessions.session_id,
        sum(all_events.cost_amount) as cost_amount
    from sessions
    inner join all_events
        on sessions.session_id = all_events.session_id
    group by sessions.session_id

),

session_touches as (

    select
        sessions.touch_key,
        'session' as touch_type,
        sessions.session_id,
        cast(null as {{ dbt.type_string() }}) as order_id,
        sessions.visitor_key,
        sessions.customer_key,
        sessions.identity_rule,
        sessions.campaign_id,
        sessions.marketing_channel,
        sessions.device,
        sessions.country_code,
        coalesce(session_clicks.cost_amount, 0) as cost_amount,
        true as is_action,
        sessions.session_date as touch_date,
        sessions.started_at as touched_at
    from sessions
    left join session_clicks
        on sessions.session_id = session_clicks.session_id

),

visitors as (

    select
        visits.visitor_key,
        min(visits.visitor_customer_key) as customer_key
    from visits
    inner join events
        on visits.visitor_key = events.visitor_key
    group by visits.visitor_key

),

event_touches as (

    select
        events.touch_key,
        events.event_type as touch_type,
        events.session_id,
        cast(null as {{ dbt.type_string() }}) as order_id,
        events.visitor_key,
        coalesce(identities.customer_key, visitors.customer_key) as customer_key,
        case
            when identities.customer_key is not null then 'account'
            when visitors.customer_key is not null then 'visitor'
            else 'none'
        end as identity_rule,
        events.campaign_id,
        events.marketing_channel,
        events.device,
        events.country_code,
        events.cost_amount,
        events.event_type = 'click' as is_action,
        events.event_date as touch_date,
        events.event_at as touched_at
    from events
    left join identities
        on events.identity_id = identities.identity_id
    left join visitors
        on events.visitor_key = visitors.visitor_key
    left join all_sessions
        on events.session_id = all_sessions.session_id
    where
        events.event_type <> 'click'
        or all_sessions.session_id is null

),

-- what brought the buyer is known from the order's own tags even if nobody recorded the visit
order_touches as (

    select
        tagged_orders.touch_key,
        'order_tag' as touch_type,
        cast(null as {{ dbt.type_string() }}) as session_id,
        tagged_orders.order_id,
        {{ surrogate_key(["'order'", 'tagged_orders.order_id']) }} as visitor_key,
        orders.customer_key,
        'order' as identity_rule,
        tagged_orders.campaign_id,
        tagged_orders.marketing_channel,
        tagged_orders.device,
        tagged_orders.country_code,
        0 as cost_amount,
        true as is_action,
        orders.order_date as touch_date,
        orders.ordered_at as touched_at
    from tagged_orders
    inner join orders
        on tagged_orders.order_id = orders.order_id
    left join placed_in
        on tagged_orders.order_id = placed_in.order_id
    left join all_sessions
        on
            placed_in.session_id = all_sessions.session_id
            and all_sessions.started_at <= orders.ordered_at
    where all_sessions.session_id is null

),

unioned as (

    select * from session_touches
    union all
    select * from event_touches
    union all
    select * from order_touches

),

final as (

    select
        touch_key,
        touch_type,
        session_id,
        order_id,
        visitor_key,
        customer_key,
        -- who it is as far as one can tell: the person, else the visitor
        coalesce(customer_key, 'visitor:' || visitor_key) as person_key,
        identity_rule,
        coalesce(campaign_id, '-1') as campaign_id,
        marketing_channel,
        device,
        country_code,
        cast(cost_amount as {{ type_money() }}) as cost_amount,
        is_action,
        touch_date,
        touched_at
    from unioned

)

select * from final
