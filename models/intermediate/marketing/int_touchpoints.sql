-- One row per contact of a person or visitor with the shop's marketing: visits, clicks without a recorded
-- visit, impressions, messages sent and opened, and tags of orders whose visit was not recorded.
with

sessions as (

    select * from {{ ref('int_sessions_grouped') }}
    where is_countable

),

visitors as (

    select
        visitor_key,
        min(visitor_customer_key) as customer_key
    from {{ ref('int_sessions_identified') }}
    group by visitor_key

),

identities as (

    select
        identity_id,
        customer_key
    from {{ ref('int_customers_resolved') }}
    where identity_type = 'account'

),

campaigns as (

    select
        campaign_id,
        channel,
        coalesce(upper(trim(currency)), {{ store_currency() }}) as currency
    from {{ ref('stg_shop__campaigns') }}

),

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

campaign_events as (

    select
        event_id,
        campaign_id,
        event_type,
        case when user_id is not null then 'account:' || user_id end as identity_id,
        visitor_id,
        session_id,
        device,
        upper(country) as country_code,
        cost,
        event_at,
        {{ local_date('event_at') }} as event_date
    from {{ ref('stg_shop__campaign_events') }}
    where
        not is_deleted
        and event_type <> 'spend'
        and (user_id is not null or visitor_id is not null)

),

events_keyed as (

    select
        campaign_events.*,
        {{ visitor_key('campaign_events.visitor_id', 'campaign_events.event_id') }} as visitor_key,
        {{ campaign_marketing_channel('campaigns.channel') }} as marketing_channel,
        coalesce(campaigns.currency, {{ store_currency() }}) as currency,
        case
            when coalesce(campaigns.currency, {{ store_currency() }}) = {{ store_currency() }} then 1
            else rates.rate_to_store_currency
        end as fx_rate
    from campaign_events
    left join campaigns
        on campaign_events.campaign_id = campaigns.campaign_id
    left join rates
        on
            campaigns.currency = rates.currency
            and campaign_events.event_date >= rates.valid_from
            and (campaign_events.event_date < rates.valid_until or rates.valid_until is null)

),

events_priced as (

    select
        *,
        {{ to_store_currency('coalesce(cost, 0)') }} as cost_amount
    from events_keyed

),

-- the click that opened a session is that session
session_clicks as (

    select
        session_id,
        sum(cost_amount) as cost_amount
    from events_priced
    where
        event_type = 'click'
        and session_id is not null
    group by session_id

),

session_touches as (

    select
        'session:' || sessions.session_id as touch_key,
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

event_touches as (

    select
        'event:' || events_priced.event_id as touch_key,
        events_priced.event_type as touch_type,
        events_priced.session_id,
        cast(null as {{ dbt.type_string() }}) as order_id,
        events_priced.visitor_key,
        coalesce(identities.customer_key, visitors.customer_key) as customer_key,
        case
            when identities.customer_key is not null then 'account'
            when visitors.customer_key is not null then 'visitor'
            else 'none'
        end as identity_rule,
        events_priced.campaign_id,
        events_priced.marketing_channel,
        coalesce(events_priced.device, 'unknown') as device,
        events_priced.country_code,
        events_priced.cost_amount,
        events_priced.event_type = 'click' as is_action,
        events_priced.event_date as touch_date,
        events_priced.event_at as touched_at
    from events_priced
    left join identities
        on events_priced.identity_id = identities.identity_id
    left join visitors
        on events_priced.visitor_key = visitors.visitor_key
    left join sessions
        on events_priced.session_id = sessions.session_id
    where
        events_priced.event_type <> 'click'
        or sessions.session_id is null

),

tagged_orders as (

    select
        orders.order_id,
        orders.customer_key,
        orders.order_date,
        orders.ordered_at
    from {{ ref('int_orders_classified') }} as orders
    where orders.is_countable

),

shop_orders as (

    select
        order_id,
        session_id,
        device,
        ship_country
    from {{ ref('stg_shop__orders') }}

),

order_channels as (

    select * from {{ ref('int_order_channels') }}

),

-- what brought the buyer is known from the order's own tags even if nobody recorded the visit
order_touches as (

    select
        'order:' || tagged_orders.order_id as touch_key,
        'order_tag' as touch_type,
        cast(null as {{ dbt.type_string() }}) as session_id,
        tagged_orders.order_id,
        {{ surrogate_key(["'order'", 'tagged_orders.order_id']) }} as visitor_key,
        tagged_orders.customer_key,
        'order' as identity_rule,
        order_channels.campaign_id,
        order_channels.marketing_channel,
        coalesce(shop_orders.device, 'unknown') as device,
        upper(shop_orders.ship_country) as country_code,
        0 as cost_amount,
        true as is_action,
        tagged_orders.order_date as touch_date,
        tagged_orders.ordered_at as touched_at
    from tagged_orders
    inner join shop_orders
        on tagged_orders.order_id = shop_orders.order_id
    inner join order_channels
        on tagged_orders.order_id = order_channels.order_id
    left join sessions
        on
            shop_orders.session_id = sessions.session_id
            and sessions.started_at <= tagged_orders.ordered_at
    where
        sessions.session_id is null
        and order_channels.marketing_channel not in ('direct', 'offline')

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
