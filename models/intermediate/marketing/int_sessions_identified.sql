-- One row per session document, bots among them: whose visit it was, and which rule says so.
--
-- A session is its account's; without one, the person's who ordered in it. Other sessions of the same
-- visitor, before and after, are that person's too, as long as the visitor is known as one person only:
-- of a shared device's anonymous visits nobody can tell.
with

sessions as (

    select
        session_id,
        {{ visitor_key('visitor_id', 'session_id') }} as visitor_key,
        case when user_id is not null then 'account:' || user_id end as identity_id
    from {{ ref('stg_shop__sessions') }}

),

identities as (

    select * from {{ ref('int_customers_resolved') }}

),

purchases as (

    select
        session_id,
        order_id
    from {{ ref('stg_shop__session_events') }}
    where
        event_type = 'purchase'
        and order_id is not null

),

shop_orders as (

    select
        session_id,
        order_id
    from {{ ref('stg_shop__orders') }}
    where session_id is not null

),

orders as (

    select
        order_id,
        customer_key
    from {{ ref('int_orders_classified') }}

),

-- an order names its session, or the session its order; when tracking breaks only one of them does
session_orders as (

    select
        session_id,
        order_id
    from shop_orders

    union

    select
        session_id,
        order_id
    from purchases

),

buyers as (

    select
        session_orders.session_id,
        case when count(distinct orders.customer_key) = 1 then min(orders.customer_key) end as customer_key
    from session_orders
    inner join orders
        on session_orders.order_id = orders.order_id
    group by session_orders.session_id

),

direct as (

    select
        sessions.session_id,
        sessions.visitor_key,
        coalesce(identities.customer_key, buyers.customer_key) as customer_key,
        case
            when identities.customer_key is not null then 'account'
            when buyers.customer_key is not null then 'order'
        end as identity_rule
    from sessions
    left join identities
        on sessions.identity_id = identities.identity_id
    left join buyers
        on sessions.session_id = buyers.session_id

),

visitors as (

    select
        visitor_key,
        count(distinct customer_key) as people,
        case when count(distinct customer_key) = 1 then min(customer_key) end as customer_key
    from direct
    group by visitor_key

),

final as (

    select
        direct.session_id,
        direct.visitor_key,
        coalesce(direct.customer_key, visitors.customer_key) as customer_key,
        visitors.customer_key as visitor_customer_key,
        case
            when direct.identity_rule is not null then direct.identity_rule
            when visitors.customer_key is not null then 'visitor'
            else 'none'
        end as identity_rule,
        visitors.people > 1 as is_shared_visitor
    from direct
    inner join visitors
        on direct.visitor_key = visitors.visitor_key

)

select * from final
