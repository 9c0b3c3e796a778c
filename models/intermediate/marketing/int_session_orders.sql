-- One row per order whose web session was recorded: which one it was placed in.
--
-- The session that the order names, else the first that names the order; where tracking breaks, only one
-- of them does.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touches': {'session': 'session_id', 'customer': 'customer_key'},
        'touched_also': [
            """
            select order_id from {{ ref('stg_shop__session_events') }}
            where order_id is not null and session_id in {{ touched('session') }}
            """,
            "select order_id from {{ ref('int_order_channels') }} where session_id in {{ touched('session') }}",
            "select order_id from {{ this }} where session_id in {{ touched('session') }}",
        ],
    },
    indexes=[{'columns': ['order_id']}, {'columns': ['session_id']}],
) }}

with

orders as (

    select
        order_id,
        customer_key,
        is_countable,
        order_date,
        ordered_at
    from {{ ref('int_orders_classified') }}
    where {{ is_touched('order_id') }}

),

channels as (

    select
        order_id,
        session_id,
        marketing_channel,
        campaign_id
    from {{ ref('int_order_channels') }}
    where {{ is_touched('order_id') }}

),

purchases as (

    select
        order_id,
        session_id,
        event_at
    from {{ ref('stg_shop__session_events') }}
    where
        event_type = 'purchase'
        and order_id is not null
        and {{ is_touched('order_id') }}

),

sessions as (

    select session_id
    from {{ ref('stg_shop__sessions') }}

),

links as (

    select
        order_id,
        session_id,
        1 as link_rank,
        cast(null as {{ dbt.type_timestamp() }}) as event_at
    from channels
    where session_id is not null

    union all

    select
        order_id,
        session_id,
        2 as link_rank,
        event_at
    from purchases

),

ranked as (

    select
        links.order_id,
        links.session_id,
        row_number() over (
            partition by links.order_id
            order by
                links.link_rank asc,
                links.event_at asc nulls last,
                links.session_id asc
        ) as session_rank
    from links
    inner join sessions
        on links.session_id = sessions.session_id

),

final as (

    select
        ranked.order_id,
        ranked.session_id,
        orders.customer_key,
        channels.marketing_channel,
        channels.campaign_id,
        orders.is_countable,
        orders.order_date,
        orders.ordered_at
    from ranked
    inner join orders
        on ranked.order_id = orders.order_id
    inner join channels
        on ranked.order_id = channels.order_id
    where ranked.session_rank = 1

)

select * from final
