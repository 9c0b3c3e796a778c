-- One row per parcel that was handed to a carrier or is being prepared for one.
--
-- An order document has one shipment with one tracking number, so a parcel is an order's; a shop that
-- splits orders would bring more rows here, not another grain.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['shipment_key'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touched_also': [
            "select entity_id from {{ touched('order_progress') }} as orders",
        ],
    },
) }}

with

lifecycle as (

    select * from {{ ref('fct_order_lifecycle') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_id') }}

),

shop_orders as (

    select * from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

movements as (

    select * from {{ ref('fct_inventory_movements') }}
    where {{ is_touched('order_id') }}

),

-- the order does not say where it leaves from, its goods do; from two places, the one that gave more
taken as (

    select
        order_id,
        location_key,
        sum(-quantity) as units
    from movements
    where
        movement_type = 'sale'
        and is_countable
        and order_id is not null
    group by order_id, location_key

),

ranked as (

    select
        order_id,
        location_key,
        sum(units) over (partition by order_id) as units,
        count(*) over (partition by order_id) as location_count,
        row_number() over (partition by order_id order by units desc nulls last, location_key asc) as location_rank
    from taken

),

final as (

    select
        {{ surrogate_key(['lifecycle.order_id', "'1'"]) }} as shipment_key,
        lifecycle.order_id,
        lifecycle.customer_key,
        lifecycle.store_id,
        lifecycle.geography_key,
        coalesce(ranked.location_key, '-1') as location_key,
        coalesce(lifecycle.carrier, 'unknown') as carrier,
        coalesce(lifecycle.shipping_method, 'unknown') as shipping_method,
        lifecycle.date_problem,
        case
            when lifecycle.delivered_at is not null and not lifecycle.is_delivery_censored then 'delivered'
            when lifecycle.is_cancelled then 'cancelled'
            when lifecycle.shipped_at is not null then 'in_transit'
            else 'in_preparation'
        end as shipment_status,
        cast(coalesce(ranked.units, 0) as {{ type_money() }}) as units,
        cast(orders.shipping_cost_amount as {{ type_money() }}) as shipping_cost_amount,
        lifecycle.hours_to_ship,
        lifecycle.hours_in_transit,
        lifecycle.hours_to_deliver,
        lifecycle.hours_late,
        lifecycle.is_countable,
        lifecycle.is_on_time,
        shop_orders.tracking is not null as has_tracking,
        coalesce(ranked.location_count > 1, false) as is_from_several_locations,
        lifecycle.has_impossible_dates,
        lifecycle.order_date,
        {{ local_date('lifecycle.shipped_at') }} as shipped_date,
        {{ local_date('lifecycle.delivered_at') }} as delivered_date,
        lifecycle.shipped_at,
        lifecycle.promised_at,
        lifecycle.delivered_at
    from lifecycle
    inner join orders
        on lifecycle.order_id = orders.order_id
    inner join shop_orders
        on lifecycle.order_id = shop_orders.order_id
    left join ranked
        on
            lifecycle.order_id = ranked.order_id
            and ranked.location_rank = 1
    where
        lifecycle.shipped_at is not null
        or lifecycle.delivered_at is not null
        or lifecycle.carrier is not null

)

select * from final
