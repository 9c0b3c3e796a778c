-- One row per product and month in which people looked at it: how many sessions went how far with it.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_month_key'],
    meta={
        'entity': 'month',
        'entity_column': 'month_start_date',
        'touched_also': [
            'select {{ dbt.date_trunc("month", "cast(days.entity_id as date)") }} from {{ touched("day") }} as days',
            'select {{ dbt.date_trunc("month", "session_date") }} from {{ ref("fct_sessions") }}'
            ' where session_id in {{ touched("session") }}',
            'select {{ dbt.date_trunc("month", "sessions.session_date") }} from {{ ref("fct_sessions") }} as sessions'
            ' inner join {{ ref("fct_web_events") }} as events on sessions.session_id = events.session_id'
            ' where events.order_id in {{ touched("order") }}',
            'select {{ dbt.date_trunc("month", "sessions.session_date") }} from {{ ref("fct_sessions") }} as sessions'
            ' inner join {{ ref("fct_web_events") }} as events on sessions.session_id = events.session_id'
            ' inner join {{ ref("fct_order_items") }} as items on events.order_id = items.order_id'
            ' where items.product_key in {{ touched("sku_owner") }}',
        ],
    },
) }}

with

sessions as (

    select
        session_id,
        cast({{ dbt.date_trunc('month', 'session_date') }} as date) as month_start_date
    from {{ ref('fct_sessions') }}
    where
        not is_bot
        and not is_deleted
        and {{ is_touched('session_date', by_day=true) }}

),

events as (

    select * from {{ ref('fct_web_events') }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'

),

owners as (

    select * from {{ ref('int_skus_owned') }}

),

seen as (

    select
        sessions.month_start_date,
        sessions.session_id,
        events.order_id,
        events.product_id,
        events.event_type
    from sessions
    inner join events
        on sessions.session_id = events.session_id

),

-- a purchase names an order, and the order its products
steps as (

    select
        month_start_date,
        session_id,
        product_id,
        event_type
    from seen
    where
        product_id is not null
        and event_type in ('view_item', 'add_to_cart')

    union all

    select
        seen.month_start_date,
        seen.session_id,
        owners.product_id,
        'purchase' as event_type
    from seen
    inner join items
        on seen.order_id = items.order_id
    inner join owners
        on items.product_key = owners.product_key
    where
        seen.event_type = 'purchase'
        and owners.product_id <> '-1'

),

final as (

    select
        {{ surrogate_key(['product_id', 'month_start_date']) }} as product_month_key,
        product_id,
        cast(count(distinct case when event_type = 'view_item' then session_id end) as {{ dbt.type_int() }})
            as viewing_sessions,
        cast(count(distinct case when event_type = 'add_to_cart' then session_id end) as {{ dbt.type_int() }})
            as carting_sessions,
        cast(count(distinct case when event_type = 'purchase' then session_id end) as {{ dbt.type_int() }})
            as buying_sessions,
        month_start_date
    from steps
    group by product_id, month_start_date

)

select * from final
