-- One row per session document, bots among them: whose visit it was, and which rule says so.
--
-- A session is its account's; without one, the person's who ordered in it. Other sessions of the same
-- visitor, before and after, are that person's too, as long as the visitor is known as one person only:
-- of a shared device's anonymous visits nobody can tell.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['session_id'],
    meta={
        'entity': 'visitor',
        'entity_column': 'visitor_key',
        'touches': {'session': 'session_id', 'customer': ['customer_key', 'visitor_customer_key']},
        'touched_also': [
            "select visitor_key from {{ ref('int_session_visitors') }} where session_id in {{ touched('session') }}",
            "select visitor_key from {{ ref('int_session_visitors') }} where identity_id in {{ touched('identity') }}",
            "select visitor_key from {{ this }} where customer_key in {{ touched('customer') }}",
        ],
    },
    indexes=[{'columns': ['session_id']}, {'columns': ['visitor_key']}, {'columns': ['customer_key']}],
) }}
with

sessions as (

    select * from {{ ref('int_session_visitors') }}
    where {{ is_touched('visitor_key') }}

),

identities as (

    select * from {{ ref('int_customers_resolved') }}

),

orders as (

    select * from {{ ref('int_session_orders') }}

),

buyers as (

    select
        orders.session_id,
        case when count(distinct orders.customer_key) = 1 then min(orders.customer_key) end as customer_key
    from orders
    inner join sessions
        on orders.session_id = sessions.session_id
    group by orders.session_id

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
