-- One row per web session document, bots among them. A session over midnight is one, of the day it began on.
--
-- A session is a bot's when it says so, or when it asks for at least 30 pages at one a second or faster.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['session_id'],
    meta={
        'entity': 'session',
        'entity_column': 'session_id',
        'touches': {'visitor': 'visitor_key', 'customer': 'customer_key', 'day': 'session_date'},
        'touched_also': [
            "select session_id from {{ this }} where campaign_code in {{ touched('campaign_code') }}",
        ],
    },
    indexes=[{'columns': ['session_id']}, {'columns': ['touch_key']}, {'columns': ['visitor_key']}, {'columns': ['campaign_code']}],
) }}
{% set bot_events = 30 %}

with

sessions as (

    select * from {{ ref('stg_shop__sessions') }}
    where {{ is_touched('session_id') }}

),

identified as (

    select * from {{ ref('int_sessions_identified') }}
    where {{ is_touched('session_id') }}

),

events as (

    select * from {{ ref('stg_shop__session_events') }}
    where {{ is_touched('session_id') }}

),

clicks as (

    select
        session_id,
        campaign_id,
        marketing_channel,
        row_number() over (
            partition by session_id
            order by event_at asc nulls last, event_id asc
        ) as click_rank
    from {{ ref('int_campaign_events_priced') }}
    where
        event_type = 'click'
        and {{ is_touched('session_id') }}

),

codes as (

    select * from {{ ref('int_campaign_codes') }}

),

orders as (

    select
        session_id,
        marketing_channel,
        campaign_id,
        row_number() over (partition by session_id order by ordered_at asc nulls last, order_id asc) as order_rank,
        sum(case when is_countable then 1 else 0 end) over (partition by session_id) as order_count
    from {{ ref('int_session_orders') }}
    where {{ is_touched('session_id') }}

),

event_totals as (

    select
        session_id,
        count(*) as event_count,
        sum(case when event_type = 'page_view' then 1 else 0 end) as page_views,
        sum(case when event_type = 'view_item' then 1 else 0 end) as product_views,
        sum(case when event_type = 'search' then 1 else 0 end) as searches,
        sum(case when event_type = 'add_to_cart' then 1 else 0 end) as cart_adds,
        sum(case when event_type = 'begin_checkout' then 1 else 0 end) as checkouts,
        sum(case when event_type = 'purchase' then 1 else 0 end) as purchases,
        max({{ funnel_step('event_type') }}) as funnel_max_step,
        min(event_at) as first_event_at,
        max(event_at) as last_event_at
    from events
    group by session_id

),

joined as (

    select
        sessions.*,
        identified.visitor_key,
        identified.customer_key,
        identified.visitor_customer_key,
        identified.identity_rule,
        identified.is_shared_visitor,
        codes.campaign_id as tagged_campaign_id,
        clicks.campaign_id as clicked_campaign_id,
        orders.campaign_id as ordered_campaign_id,
        {{ marketing_channel('sessions.utm_source', 'sessions.utm_medium') }} as tagged_channel,
        clicks.marketing_channel as clicked_channel,
        orders.marketing_channel as ordered_channel,
        coalesce(orders.order_count, 0) as order_count,
        {{ campaign_code('sessions.utm_campaign') }} as campaign_code,
        coalesce(event_totals.event_count, 0) as event_count,
        coalesce(event_totals.page_views, 0) as page_views,
        coalesce(event_totals.product_views, 0) as product_views,
        coalesce(event_totals.searches, 0) as searches,
        coalesce(event_totals.cart_adds, 0) as cart_adds,
        coalesce(event_totals.checkouts, 0) as checkouts,
        coalesce(event_totals.purchases, 0) as purchases,
        coalesce(event_totals.funnel_max_step, 1) as funnel_max_step,
        coalesce(sessions.started_at, event_totals.first_event_at) as begun_at,
        coalesce(sessions.ended_at, event_totals.last_event_at) as over_at
    from sessions
    inner join identified
        on sessions.session_id = identified.session_id
    left join event_totals
        on sessions.session_id = event_totals.session_id
    left join codes
        on {{ campaign_code('sessions.utm_campaign') }} = codes.campaign_code
    left join clicks
        on
            sessions.session_id = clicks.session_id
            and clicks.click_rank = 1
    left join orders
        on
            sessions.session_id = orders.session_id
            and orders.order_rank = 1

),

-- its own tags, else the click that opened it, else the tags of the order placed in it
ruled as (

    select
        *,
        case
            when tagged_channel <> 'direct' then 'utm'
            when clicked_campaign_id is not null then 'click'
            when ordered_channel not in ('direct', 'offline') then 'order'
            else 'none'
        end as channel_rule,
        case when over_at >= begun_at then {{ dbt.datediff('begun_at', 'over_at', 'second') }} end as duration_seconds
    from joined

),

grouped as (

    select
        *,
        case channel_rule
            when 'utm' then tagged_channel
            when 'click' then clicked_channel
            when 'order' then ordered_channel
            else 'direct'
        end as marketing_channel,
        coalesce(
            tagged_campaign_id,
            clicked_campaign_id,
            case when channel_rule = 'order' then ordered_campaign_id end,
            '-1'
        ) as campaign_id,
        case
            when coalesce(is_bot, false) then 'declared'
            when event_count >= {{ bot_events }} and event_count >= duration_seconds then 'behaviour'
        end as bot_rule
    from ruled

),

final as (

    select
        session_id,
        'session:' || session_id as touch_key,
        visitor_key,
        customer_key,
        visitor_customer_key,
        campaign_id,
        campaign_code,
        identity_rule,
        channel_rule,
        bot_rule,
        marketing_channel,
        coalesce(device, 'unknown') as device,
        os,
        upper(country) as country_code,
        -- what follows the question mark may name a person
        split_part(landing, '?', 1) as landing_page,
        split_part(lower(trim(referrer)), '?', 1) as referrer,
        event_count,
        page_views,
        product_views,
        searches,
        cart_adds,
        checkouts,
        purchases,
        order_count,
        funnel_max_step,
        duration_seconds,
        bot_rule is not null as is_bot,
        coalesce(has_consent, false) as has_consent,
        is_shared_visitor,
        is_deleted,
        bot_rule is null and not is_deleted as is_countable,
        {{ local_date('begun_at') }} as session_date,
        begun_at as started_at,
        over_at as ended_at
    from grouped

)

select * from final
