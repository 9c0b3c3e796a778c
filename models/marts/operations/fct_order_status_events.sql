-- One row per entry of an order's status history.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_status_event_key'],
    meta={'entity': 'order', 'entity_column': 'order_id'},
) }}

with

events as (

    select * from {{ ref('stg_shop__order_status_events') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_id') }}

),

-- the document's own order, not the clock's: two changes can share a second, and clocks go wrong
sequenced as (

    select
        order_id,
        status as to_status,
        changed_by,
        status_at,
        row_number() over (partition by order_id order by seq asc) as event_seq,
        lag(status) over (partition by order_id order by seq asc) as from_status,
        lag(status_at) over (partition by order_id order by seq asc) as previous_status_at,
        lead(status_at) over (partition by order_id order by seq asc) as next_status_at
    from events

),

final as (

    select
        {{ surrogate_key(['sequenced.order_id', 'sequenced.event_seq']) }} as order_status_event_key,
        sequenced.order_id,
        orders.customer_key,
        orders.store_id,
        sequenced.from_status,
        sequenced.to_status,
        sequenced.changed_by,
        cast(sequenced.event_seq as {{ dbt.type_int() }}) as event_seq,
        -- hours in the state before; an event earlier than the one before it says nothing about it
        cast(
            case
                when sequenced.status_at >= sequenced.previous_status_at
                    then ({{ dbt.datediff('sequenced.previous_status_at', 'sequenced.status_at', 'second') }}) / 3600.0
            end as numeric(20, 4)
        ) as hours_in_previous_status,
        coalesce(sequenced.status_at < sequenced.previous_status_at, false) as is_out_of_order,
        sequenced.next_status_at is null as is_latest,
        orders.is_countable,
        {{ local_date('sequenced.status_at') }} as status_date,
        sequenced.status_at
    from sequenced
    inner join orders
        on sequenced.order_id = orders.order_id

)

select * from final
