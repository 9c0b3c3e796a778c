-- One row per refund of an order, with the charges it gave back beside the goods.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['refund_key'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
    },
    indexes=[{'columns': ['order_id']}],
) }}

with

refunds as (

    select * from {{ ref('stg_shop__refunds') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('int_orders_classified') }}
    where {{ is_touched('order_id') }}

),

-- a refund delivered twice has one id; its first entry counts
ranked as (

    select
        *,
        row_number() over (
            partition by order_id, coalesce(refund_id, 'position ' || cast(position as {{ dbt.type_string() }}))
            order by position asc
        ) as entry_rank
    from refunds

),

final as (

    select
        {{ surrogate_key(['ranked.order_id', 'ranked.position']) }} as refund_key,
        ranked.order_id,
        ranked.refund_id,
        ranked.position as refund_position,
        ranked.reason,
        lower(trim(ranked.method)) as method,
        orders.currency,
        orders.fx_rate,
        coalesce(ranked.shipping_amount, 0) as shipping_presentment,
        coalesce(ranked.adjustment_amount, 0) as adjustment_presentment,
        {{ to_store_currency('coalesce(ranked.shipping_amount, 0)', 'orders.currency', 'orders.fx_rate') }} as shipping_amount,
        {{ to_store_currency('coalesce(ranked.adjustment_amount, 0)', 'orders.currency', 'orders.fx_rate') }}
            as adjustment_amount,
        ranked.refunded_at is null as is_date_unknown,
        coalesce(ranked.refunded_at, orders.ordered_at) as refunded_at,
        {{ local_date('coalesce(ranked.refunded_at, orders.ordered_at)') }} as refund_date
    from ranked
    inner join orders
        on ranked.order_id = orders.order_id
    where ranked.entry_rank = 1

)

select * from final
