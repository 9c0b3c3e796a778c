-- One row per order document: who ordered, in which currency, and whether it counts.
--
-- `exclusion_reason` is the first reason that applies, in the order of the case ladder. The money of an
-- excluded order is in no metric, with two exceptions (`is_money_countable`): credit notes and
-- adjustments are documents of their own that correct other orders: money, but not an order.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touches': {'customer': 'customer_key', 'day': 'order_date'},
        'set_apart': {
            'order_progress': {'key': 'order_id', 'columns': ['status']},
        },
        'touched_also': [
            "select entity_id from {{ touched('order_progress') }} as orders",
            "select order_id from {{ ref('stg_shop__order_items') }} where sku in {{ touched('sku', 'int_skus_classified') }}",
            "select source_id from {{ touched('source') }} as sources (source_id)",
            "select order_id from {{ ref('stg_shop__orders') }} where user_id in {{ touched('source') }}",
            "{{ orders_of_touched_rates() }}",
        ],
    },
    indexes=[
        {'columns': ['customer_key']},
        {'columns': ['order_date']},
        {'columns': ['currency', 'order_date']},
    ],
) }}
{% set cancelled = "'cancelled', 'canceled', 'voided'" %}

with

orders as (

    select * from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

items as (

    select * from {{ ref('stg_shop__order_items') }}
    where {{ is_touched('order_id') }}

),

kinds as (

    select * from {{ ref('int_skus_classified') }}

),

payments as (

    select * from {{ ref('int_payments_deduplicated') }}
    where {{ is_touched('order_id') }}

),

deduplicated as (

    select * from {{ ref('int_orders_deduplicated') }}
    where {{ is_touched('order_id') }}

),

customers as (

    select * from {{ ref('int_customers_resolved') }}

),

currencies as (

    select * from {{ ref('currencies') }}

),

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

order_items as (

    select
        items.order_id,
        count(*) as line_count,
        count(
            case
                when coalesce(items.is_gift_card, false) or kinds.line_kind = 'gift_card' then 1
            end
        ) as gift_card_line_count,
        count(case when kinds.line_kind = 'test' then 1 end) as test_line_count,
        sum(items.quantity * items.unit_price - coalesce(abs(items.line_discount), 0)) as line_amount,
        max(abs(items.quantity * items.unit_price)) as largest_line_amount,
        sum(items.quantity) as quantity
    from items
    left join kinds
        on items.sku = kinds.sku
    group by items.order_id

),

order_payments as (

    select
        order_id,
        min(case when is_captured then paid_at end) as first_paid_at,
        count(case when is_captured then 1 end) as captured_count
    from payments
    where not is_duplicate
    group by order_id

),

combined as (

    select
        orders.order_id,
        orders.order_no,
        coalesce(orders.kind, 'sale') as order_kind,
        orders.store_id,
        orders.user_id,
        coalesce(customers.customer_key, '-1') as customer_key,
        orders.status,
        upper(trim(orders.currency)) as currency,
        orders.fx_rate as order_fx_rate,
        coalesce(orders.is_tax_included, false) as is_tax_included,
        deduplicated.duplicate_of_order_id,
        coalesce(order_items.line_count, 0) as line_count,
        coalesce(order_payments.captured_count, 0) as captured_payment_count,
        orders.is_deleted,
        deduplicated.is_duplicate,
        coalesce(orders.is_test, false)
        or coalesce(customers.is_test, false)
        or coalesce(order_items.test_line_count = order_items.line_count, false) as is_test,
        coalesce(orders.is_fraud, false) as is_fraud,
        coalesce(orders.status in ({{ cancelled }}), false) as is_cancelled,
        coalesce(order_items.gift_card_line_count = order_items.line_count, false) as is_gift_card_only,
        coalesce(order_items.quantity, 0) <= 0 as has_no_quantity,
        coalesce(order_items.largest_line_amount, 0) = 0
        or coalesce(order_items.line_amount, 0) = 0 as is_zero_value,
        coalesce(orders.placed_at, orders.created_at) as ordered_at,
        orders.cancelled_at,
        order_payments.first_paid_at
    from orders
    inner join deduplicated
        on orders.order_id = deduplicated.order_id
    left join customers
        on
            case
                when orders.user_id is not null then 'account:' || orders.user_id
                else 'guest:' || orders.order_id
            end = customers.identity_id
    left join order_items
        on orders.order_id = order_items.order_id
    left join order_payments
        on orders.order_id = order_payments.order_id

),

dated as (

    select
        *,
        {{ local_date('ordered_at') }} as order_date
    from combined

),

-- of each day once, since a search among rates is dear
needed_rates as (

    select distinct
        currency,
        order_date
    from dated
    where
        currency <> {{ store_currency() }}
        and (order_fx_rate is null or order_fx_rate <= 0)

),

day_rates as (

    select
        needed_rates.currency,
        needed_rates.order_date,
        rates.rate_to_store_currency
    from needed_rates
    inner join rates
        on
            needed_rates.currency = rates.currency
            and needed_rates.order_date >= rates.valid_from
            and (needed_rates.order_date < rates.valid_until or rates.valid_until is null)

),

converted as (

    select
        dated.*,
        coalesce(currencies.decimals, 2) as currency_decimals,
        case
            when dated.currency = {{ store_currency() }} then 1
            when dated.order_fx_rate > 0 then dated.order_fx_rate
            else day_rates.rate_to_store_currency
        end as fx_rate,
        case
            when dated.currency = {{ store_currency() }} then 'store_currency'
            when dated.order_fx_rate > 0 then 'order'
            when day_rates.rate_to_store_currency is not null then 'exchange_rates'
            else 'missing'
        end as fx_source
    from dated
    left join currencies
        on dated.currency = currencies.currency_code
    left join day_rates
        on
            dated.currency = day_rates.currency
            and dated.order_date = day_rates.order_date

),

reasoned as (

    select
        *,
        case
            when is_duplicate then 'duplicate'
            when is_deleted then 'deleted'
            when is_test then 'test'
            when is_fraud then 'fraud'
            when is_cancelled and captured_payment_count = 0 then 'cancelled_before_payment'
            when order_date is null then 'no_date'
            when fx_source = 'missing' then 'no_exchange_rate'
            when order_kind = 'credit_note' then 'credit_note'
            when order_kind = 'adjustment' then 'adjustment'
            when line_count = 0 then 'no_items'
            when is_gift_card_only then 'gift_card_only'
            when has_no_quantity then 'negative_or_zero_quantity'
            when is_zero_value then 'zero_value'
        end as exclusion_reason
    from converted

),

final as (

    select
        order_id,
        order_no,
        order_kind,
        store_id,
        user_id,
        customer_key,
        status,
        currency,
        fx_source,
        exclusion_reason,
        duplicate_of_order_id,
        currency_decimals,
        fx_rate,
        line_count,
        captured_payment_count,
        is_tax_included,
        is_deleted,
        is_duplicate,
        is_cancelled,
        exclusion_reason is null as is_countable,
        coalesce(exclusion_reason in ('credit_note', 'adjustment'), true) as is_money_countable,
        order_date,
        ordered_at,
        first_paid_at,
        cancelled_at
    from reasoned

)

select * from final
