-- One row per payment attempt of an order; copies of a webhook stay, marked.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['payment_key'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touches': {'customer': 'customer_key', 'day': 'payment_date'},
    },
    indexes=[{'columns': ['order_id']}],
) }}

with

payments as (

    select * from {{ ref('int_payments_deduplicated') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_id') }}

),

final as (

    select
        payments.payment_key,
        payments.payment_id,
        payments.order_id,
        orders.store_id,
        orders.customer_key,
        case
            when payments.method is not null then {{ surrogate_key(['payments.method']) }} else '-1'
        end as payment_method_key,
        payments.provider,
        payments.status,
        payments.error,
        orders.currency,
        cast(payments.payment_position as {{ dbt.type_int() }}) as payment_position,
        cast(payments.amount as {{ type_money() }}) as presentment_amount,
        cast({{ to_store_currency('payments.amount', 'orders.currency', 'orders.fx_rate') }} as {{ type_money() }})
            as payment_amount,
        cast({{ to_store_currency('payments.fee', 'orders.currency', 'orders.fx_rate') }} as {{ type_money() }})
            as fee_amount,
        payments.is_captured,
        payments.is_duplicate,
        payments.is_captured and not payments.is_duplicate and orders.is_money_countable as is_countable,
        {{ local_date('payments.paid_at') }} as payment_date,
        payments.paid_at
    from payments
    inner join orders
        on payments.order_id = orders.order_id

)

select * from final
