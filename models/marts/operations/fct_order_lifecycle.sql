-- One row per order: when it reached each stage, and how long the stages took.
--
-- The shipping and delivery times of the order document come first, then its status history. Where two
-- times cannot both be right, the row says so, and every lag that needs one of them is null: nobody can
-- tell which of the two is wrong. A stage that was not reached is null, and its lag with it.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touches': {'day': 'fulfilment_date'},
        'touched_also': [
            "select entity_id from {{ touched('order_progress') }} as orders",
        ],
    },
) }}

with

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_id') }}

),

shop_orders as (

    select * from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

events as (

    select * from {{ ref('stg_shop__order_status_events') }}
    where {{ is_touched('order_id') }}

),

refund_lines as (

    select * from {{ ref('fct_refund_lines') }}
    where {{ is_touched('order_id') }}

),

stages as (

    select
        order_id,
        min(case when status = 'paid' then status_at end) as paid_at,
        min(case when status = 'packed' then status_at end) as packed_at,
        min(case when status = 'shipped' then status_at end) as shipped_at,
        min(case when status = 'delivered' then status_at end) as delivered_at,
        min(case when status = 'cancelled' then status_at end) as cancelled_at,
        min(case when status = 'returned' then status_at end) as returned_at
    from events
    group by order_id

),

-- goods given back; the money is refunded in the same document, often with the same time
returned as (

    select
        order_id,
        min(refunded_at) as returned_at
    from refund_lines
    where measure = 'return'
    group by order_id

),

reached as (

    select
        orders.order_id,
        orders.customer_key,
        orders.store_id,
        orders.geography_key,
        orders.status,
        orders.shipping_method,
        orders.carrier,
        orders.is_countable,
        orders.is_cancelled,
        orders.order_date,
        orders.placed_at,
        coalesce(orders.paid_at, stages.paid_at) as paid_at,
        stages.packed_at,
        coalesce(orders.shipped_at, stages.shipped_at) as shipped_at,
        coalesce(orders.delivered_at, stages.delivered_at) as delivered_at,
        orders.promised_at,
        coalesce(orders.cancelled_at, stages.cancelled_at) as cancelled_at,
        coalesce(
            least(stages.returned_at, returned.returned_at), stages.returned_at, returned.returned_at
        ) as returned_at,
        orders.refunded_at,
        shop_orders._loaded_at
    from orders
    inner join shop_orders
        on orders.order_id = shop_orders.order_id
    left join stages
        on orders.order_id = stages.order_id
    left join returned
        on orders.order_id = returned.order_id

),

checked as (

    select
        *,
        coalesce(paid_at < placed_at, false) as is_paid_before_placed,
        coalesce(packed_at < placed_at, false) as is_packed_before_placed,
        coalesce(shipped_at < placed_at, false) as is_shipped_before_placed,
        coalesce(shipped_at < packed_at, false) as is_shipped_before_packed,
        coalesce(delivered_at < placed_at, false) as is_delivered_before_placed,
        coalesce(delivered_at < shipped_at, false) as is_delivered_before_shipped,
        coalesce(returned_at < placed_at or refunded_at < placed_at, false) as is_returned_before_placed,
        -- a document cannot know what happens after it was read
        coalesce(shipped_at > _loaded_at, false) as is_shipped_in_future,
        coalesce(delivered_at > _loaded_at, false) as is_delivered_in_future
    from reached

),

trusted as (

    select
        *,
        case
            when is_delivered_in_future then 'delivered_in_future'
            when is_shipped_in_future then 'shipped_in_future'
            when is_delivered_before_shipped then 'delivered_before_shipped'
            when is_delivered_before_placed then 'delivered_before_placed'
            when is_shipped_before_placed then 'shipped_before_placed'
            when is_shipped_before_packed then 'shipped_before_packed'
            when is_packed_before_placed then 'packed_before_placed'
            when is_paid_before_placed then 'paid_before_placed'
            when is_returned_before_placed then 'returned_before_placed'
        end as date_problem,
        case when not is_paid_before_placed then paid_at end as trusted_paid_at,
        case when not is_packed_before_placed and not is_shipped_before_packed then packed_at end as trusted_packed_at,
        case
            when
                not is_shipped_in_future
                and not is_shipped_before_placed
                and not is_shipped_before_packed
                and not is_delivered_before_shipped
                then shipped_at
        end as trusted_shipped_at,
        case
            when
                not is_delivered_in_future
                and not is_delivered_before_placed
                and not is_delivered_before_shipped
                then delivered_at
        end as trusted_delivered_at
    from checked

),

-- M65 counts from the payment. Who pays at the door pays last: there the order starts the clock.
started as (

    select
        *,
        case
            when trusted_paid_at <= coalesce(trusted_shipped_at, trusted_delivered_at, trusted_paid_at)
                then trusted_paid_at
            else placed_at
        end as fulfilment_started_at
    from trusted

),

final as (

    select
        order_id,
        customer_key,
        store_id,
        geography_key,
        status,
        shipping_method,
        carrier,
        date_problem,
        case
            when is_cancelled then 'cancelled'
            when returned_at is not null then 'returned'
            when delivered_at is not null and not is_delivered_in_future then 'delivered'
            when shipped_at is not null then 'shipped'
            when packed_at is not null then 'packed'
            when paid_at is not null then 'paid'
            else 'placed'
        end as stage,
        {% for name, first, last in [
            ('hours_to_pay', 'placed_at', 'trusted_paid_at'),
            ('hours_to_pack', 'fulfilment_started_at', 'trusted_packed_at'),
            ('hours_to_ship', 'fulfilment_started_at', 'trusted_shipped_at'),
            ('hours_in_transit', 'trusted_shipped_at', 'trusted_delivered_at'),
            ('hours_to_deliver', 'fulfilment_started_at', 'trusted_delivered_at'),
            ('hours_late', 'promised_at', 'trusted_delivered_at'),
            ('hours_to_return', 'trusted_delivered_at', 'returned_at'),
        ] -%}
        cast(
            case
                when {{ last }} >= {{ first }} then ({{ dbt.datediff(first, last, "second") }}) / 3600.0
                {%- if name == 'hours_late' %}
                when {{ last }} < {{ first }} then -({{ dbt.datediff(last, first, "second") }}) / 3600.0
                {%- endif %}
            end as numeric(20, 4)
        ) as {{ name }},
        {% endfor -%}
        is_countable,
        is_cancelled,
        date_problem is not null as has_impossible_dates,
        trusted_delivered_at <= promised_at as is_on_time,
        -- what is still on its way has no lag yet: it is censored, not fast
        is_countable and not is_cancelled and shipped_at is null and delivered_at is null as is_ship_censored,
        is_countable
        and not is_cancelled
        and returned_at is null
        and (delivered_at is null or is_delivered_in_future) as is_delivery_censored,
        order_date,
        {{ local_date('fulfilment_started_at') }} as fulfilment_date,
        placed_at,
        paid_at,
        packed_at,
        shipped_at,
        delivered_at,
        promised_at,
        cancelled_at,
        returned_at,
        refunded_at,
        fulfilment_started_at
    from started

)

select * from final
