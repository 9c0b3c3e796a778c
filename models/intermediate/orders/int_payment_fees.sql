-- One row per captured payment that cost a fee, in both currencies, filed under the payment's day.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['payment_key'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
    },
    indexes=[{'columns': ['order_id']}],
) }}

with

payments as (

    select * from {{ ref('int_payments_deduplicated') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('int_orders_classified') }}
    where {{ is_touched('order_id') }}

),

final as (

    select
        payments.payment_key,
        payments.order_id,
        payments.fee as fee_presentment,
        {{ to_store_currency('payments.fee', 'orders.currency', 'orders.fx_rate') }} as fee_amount,
        {{ local_date('coalesce(payments.paid_at, orders.ordered_at)') }} as fee_date,
        coalesce(payments.paid_at, orders.ordered_at) as charged_at
    from payments
    inner join orders
        on payments.order_id = orders.order_id
    where
        payments.is_captured
        and not payments.is_duplicate
        and payments.fee <> 0

)

select * from final
