-- One row per payment method that any payment or refund names, plus the unknown member '-1'.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['payment_method_key'],
    meta={
        'touches': {'payment_method': 'payment_method_key'},
    },
) }}

with

payments as (

    {{ distinct_rows(ref('int_payments_deduplicated'), 'method') }}

),

refunds as (

    {{ distinct_rows(ref('stg_shop__refunds'), 'method') }}

),

methods as (

    select method from payments

    union

    select lower(trim(method)) as method from refunds

),

final as (

    select
        {{ surrogate_key(['method']) }} as payment_method_key,
        method as payment_method,
        case
            when method in ('card', 'credit_card', 'debit_card') then 'card'
            when method in ('paypal', 'apple_pay', 'google_pay', 'alipay') then 'wallet'
            when method in ('klarna', 'invoice', 'afterpay', 'installments') then 'pay_later'
            when method in ('cod', 'cash', 'cheque') then 'cash'
            when method in ('transfer', 'bank_transfer', 'direct_debit') then 'bank'
            when method in ('gift_card', 'voucher', 'store_credit') then 'store_credit'
            else 'other'
        end as payment_method_kind,
        method not in ('cod', 'cash', 'cheque') as is_digital
    from methods

    union all

    select
        '-1' as payment_method_key,
        'unknown' as payment_method,
        'other' as payment_method_kind,
        cast(null as {{ dbt.type_boolean() }}) as is_digital

)

select * from final
