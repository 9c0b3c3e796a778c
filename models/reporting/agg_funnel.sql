-- One row per day, marketing channel and device: how far visits got towards an order.
--
-- Open: sessions that did a step, whatever they left out. Closed, as GA4 counts: persons (visitors while
-- nobody knows them) that did the steps of the day one after another, in one session or in several. Bots are
-- out, and tills and marketplaces have no sessions. A session belongs to the day on which it began.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['session_date', 'marketing_channel', 'device'],
    pre_hook=hash_joins(),
    meta={
        'entity': 'day',
        'entity_column': 'session_date',
        'touches': {'month': 'month_start_date'},
        'touched_also': [
            "select session_date from {{ ref('fct_sessions') }} where session_id in {{ touched('session') }}",
            """
            select sessions.session_date
            from {{ ref('int_session_orders') }} as orders
            inner join {{ ref('fct_sessions') }} as sessions
                on orders.session_id = sessions.session_id
            where orders.order_id in {{ touched('order') }}
            """,
        ],
    },
) }}
{% set steps = [(2, 'view_item'), (3, 'add_to_cart'), (4, 'begin_checkout'), (5, 'purchase')] %}

with

sessions as (

    select
        session_id,
        visitor_key,
        case when customer_key <> '-1' then customer_key else visitor_key end as person_key,
        marketing_channel,
        device,
        orders,
        purchases,
        started_at,
        session_date
    from {{ ref('fct_sessions') }}
    where
        is_countable
        and session_date is not null
        and {{ is_touched('session_date') }}

),

events as (

    select
        session_id,
        funnel_step,
        event_at
    from {{ ref('fct_web_events') }}
    where {{ is_in_few('session_id', 'select session_id from sessions') }}

),

session_orders as (

    select
        order_id,
        session_id
    from {{ ref('int_session_orders') }}
    where
        is_countable
        and {{ is_in_few('session_id', 'select session_id from sessions') }}

),

orders as (

    select
        order_id,
        total_sales_amount
    from {{ ref('fct_orders') }}
    where {{ is_in_few('order_id', 'select order_id from session_orders') }}

),

session_revenue as (

    select
        sessions.session_id,
        sum(orders.total_sales_amount) as revenue_amount
    from sessions
    inner join session_orders
        on sessions.session_id = session_orders.session_id
    inner join orders
        on session_orders.order_id = orders.order_id
    group by sessions.session_id

),

session_events as (

    select
        sessions.session_id,
        sessions.person_key,
        sessions.session_date,
        sessions.marketing_channel,
        sessions.device,
        events.funnel_step,
        events.event_at
    from sessions
    inner join events
        on sessions.session_id = events.session_id
    where events.funnel_step >= 2

),

session_steps as (

    select
        session_id
        {%- for number, name in steps %},
        max(case when funnel_step = {{ number }} then 1 else 0 end) as {{ name }}
        {%- endfor %}
    from session_events
    group by session_id

),

open_funnel as (

    select
        sessions.session_date,
        sessions.marketing_channel,
        sessions.device,
        count(*) as sessions,
        count(distinct sessions.visitor_key) as visitors,
        count(distinct case when sessions.orders > 0 or session_steps.purchase = 1 then sessions.visitor_key end) as buyers,
        sum(case when sessions.orders > 0 or session_steps.purchase = 1 then 1 else 0 end) as converting_sessions,
        sum(sessions.orders) as orders,
        sum(coalesce(session_revenue.revenue_amount, 0)) as revenue_amount,
        {% for number, name in steps -%}
        sum(coalesce(session_steps.{{ name }}, 0)) as open_{{ name }}_sessions,
        {% endfor -%}
        sum(case when session_steps.add_to_cart = 1 and session_steps.purchase = 1 then 1 else 0 end)
            as cart_and_purchase_sessions,
        sum(case when session_steps.begin_checkout = 1 and session_steps.purchase = 1 then 1 else 0 end)
            as checkout_and_purchase_sessions
    from sessions
    left join session_steps
        on sessions.session_id = session_steps.session_id
    left join session_revenue
        on sessions.session_id = session_revenue.session_id
    group by sessions.session_date, sessions.marketing_channel, sessions.device

),

-- when a person first stood on each step, having stood on the one before
reached_1 as (

    select
        person_key,
        session_date,
        marketing_channel,
        device,
        min(started_at) as reached_at
    from sessions
    group by person_key, session_date, marketing_channel, device

),

{% for number, name in steps %}
reached_{{ number }} as (

    select
        earlier.person_key,
        earlier.session_date,
        earlier.marketing_channel,
        earlier.device,
        min(session_events.event_at) as reached_at
    from reached_{{ number - 1 }} as earlier
    inner join session_events
        on
            earlier.person_key = session_events.person_key
            and earlier.session_date = session_events.session_date
            and earlier.marketing_channel = session_events.marketing_channel
            and earlier.device = session_events.device
            and session_events.funnel_step = {{ number }}
            and session_events.event_at >= earlier.reached_at
    group by earlier.person_key, earlier.session_date, earlier.marketing_channel, earlier.device

),

{% endfor %}
closed_steps as (

    {% for number in range(1, 6) -%}
    select
        session_date,
        marketing_channel,
        device,
        {{ number }} as step_number
    from reached_{{ number }}
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}
),

closed_funnel as (

    select
        session_date,
        marketing_channel,
        device,
        {% for number, name in [(1, 'session')] + steps -%}
        sum(case when step_number = {{ number }} then 1 else 0 end) as closed_{{ name }}_users
        {%- if not loop.last %},{% endif %}
        {% endfor %}
    from closed_steps
    group by session_date, marketing_channel, device

),

final as (

    select
        open_funnel.marketing_channel,
        open_funnel.device,
        cast(open_funnel.sessions as {{ dbt.type_int() }}) as sessions,
        cast(open_funnel.visitors as {{ dbt.type_int() }}) as visitors,
        cast(open_funnel.buyers as {{ dbt.type_int() }}) as buyers,
        cast(open_funnel.converting_sessions as {{ dbt.type_int() }}) as converting_sessions,
        cast(open_funnel.orders as {{ dbt.type_int() }}) as orders,
        {% for number, name in steps -%}
        cast(open_funnel.open_{{ name }}_sessions as {{ dbt.type_int() }}) as open_{{ name }}_sessions,
        {% endfor -%}
        {% for number, name in [(1, 'session')] + steps -%}
        cast(closed_funnel.closed_{{ name }}_users as {{ dbt.type_int() }}) as closed_{{ name }}_users,
        {% endfor -%}
        cast(open_funnel.cart_and_purchase_sessions as {{ dbt.type_int() }}) as cart_and_purchase_sessions,
        cast(open_funnel.checkout_and_purchase_sessions as {{ dbt.type_int() }}) as checkout_and_purchase_sessions,
        cast(open_funnel.revenue_amount as {{ type_money() }}) as revenue_amount,
        {{ ratio('open_funnel.converting_sessions', 'open_funnel.sessions') }} as conversion_rate,
        {{ ratio('open_funnel.buyers', 'open_funnel.visitors') }} as buyer_rate,
        {{ ratio('open_funnel.open_add_to_cart_sessions - open_funnel.cart_and_purchase_sessions', 'open_funnel.open_add_to_cart_sessions') }}
            as cart_abandonment_rate,
        {{ ratio('open_funnel.open_begin_checkout_sessions - open_funnel.checkout_and_purchase_sessions', 'open_funnel.open_begin_checkout_sessions') }}
            as checkout_abandonment_rate,
        {{ ratio('open_funnel.revenue_amount', 'open_funnel.sessions') }} as revenue_per_session,
        cast({{ dbt.date_trunc('month', 'open_funnel.session_date') }} as date) as month_start_date,
        open_funnel.session_date
    from open_funnel
    inner join closed_funnel
        on
            open_funnel.session_date = closed_funnel.session_date
            and open_funnel.marketing_channel = closed_funnel.marketing_channel
            and open_funnel.device = closed_funnel.device

)

select * from final
