-- One row per event (order, refund or payment) and kind of cost that the seed fee_rules puts on it.
--
-- Costs that a document states (goods, shipping, payment fees) are not here. Of the rules that fit, the one
-- that names most counts; what no rule covers has no row, which is not a cost of 0.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_cost_key'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touched_also': [
            "select entity_id from {{ touched('order_progress') }} as orders",
        ],
    },
    indexes=[{'columns': ['order_id']}],
) }}

with

rules as (

    select
        *,
        case cost_type
            when 'payment_fee' then 'payment'
            when 'return_handling' then 'refund'
            else 'order'
        end as source_type,
        case when method is not null then 4 else 0 end
        + case when store_id is not null then 2 else 0 end
        + case when sales_channel is not null then 1 else 0 end as specificity
    from {{ ref('fee_rules') }}

),

orders as (

    select * from {{ ref('int_orders_classified') }}
    where
        is_countable
        and {{ is_touched('order_id') }}

),

shop_orders as (

    select
        order_id,
        lower(trim(shipping_method)) as shipping_method,
        shipped_at
    from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

channels as (

    select * from {{ ref('int_order_channels') }}
    where {{ is_touched('order_id') }}

),

lines as (

    select * from {{ ref('int_order_lines_priced') }}
    where
        measure = 'sale'
        and {{ is_touched('order_id') }}

),

payments as (

    select * from {{ ref('int_payments_deduplicated') }}
    where {{ is_touched('order_id') }}

),

refunds as (

    select * from {{ ref('int_refunds_priced') }}
    where {{ is_touched('order_id') }}

),

refund_lines as (

    select * from {{ ref('int_refund_lines_priced') }}
    where
        measure = 'return'
        and {{ is_touched('order_id') }}

),

described_orders as (

    select
        orders.order_id,
        orders.store_id,
        orders.currency,
        orders.fx_rate,
        channels.sales_channel,
        shop_orders.shipping_method,
        -- what was cancelled before it left was neither picked nor packed
        not orders.is_cancelled or shop_orders.shipped_at is not null as is_fulfilled,
        orders.order_date,
        orders.ordered_at
    from orders
    inner join shop_orders
        on orders.order_id = shop_orders.order_id
    left join channels
        on orders.order_id = channels.order_id

),

order_events as (

    select
        'order' as source_type,
        described_orders.order_id as source_key,
        described_orders.order_id,
        cast(null as {{ dbt.type_string() }}) as refund_id,
        min(described_orders.store_id) as store_id,
        min(described_orders.sales_channel) as sales_channel,
        min(described_orders.shipping_method) as method,
        sum(coalesce(lines.quantity, 0)) as units,
        sum(lines.net_amount) as base_amount,
        min(described_orders.order_date) as event_date,
        min(described_orders.ordered_at) as event_at
    from described_orders
    inner join lines
        on described_orders.order_id = lines.order_id
    where described_orders.is_fulfilled
    group by described_orders.order_id

),

-- goods of which nobody knows whether they came back cost no handling
refund_events as (

    select
        'refund' as source_type,
        refunds.refund_key as source_key,
        refunds.order_id,
        min(refunds.refund_id) as refund_id,
        min(described_orders.store_id) as store_id,
        min(described_orders.sales_channel) as sales_channel,
        min(described_orders.shipping_method) as method,
        sum(coalesce(refund_lines.quantity, 0)) as units,
        sum(refund_lines.goods_amount) as base_amount,
        min(refunds.refund_date) as event_date,
        min(refunds.refunded_at) as event_at
    from refunds
    inner join described_orders
        on refunds.order_id = described_orders.order_id
    inner join refund_lines
        on refunds.refund_key = refund_lines.refund_key
    where
        refund_lines.is_restocked
        or refund_lines.restock = 'damaged'
    group by refunds.refund_key, refunds.order_id

),

-- a fee of 0 that the document states is a fact, only an unstated one is put in by a rule
payment_events as (

    select
        'payment' as source_type,
        payments.payment_key as source_key,
        payments.order_id,
        cast(null as {{ dbt.type_string() }}) as refund_id,
        described_orders.store_id,
        described_orders.sales_channel,
        payments.method,
        1 as units,
        {{ to_store_currency('coalesce(payments.amount, 0)', 'described_orders.currency', 'described_orders.fx_rate') }}
            as base_amount,
        {{ local_date('coalesce(payments.paid_at, described_orders.ordered_at)') }} as event_date,
        coalesce(payments.paid_at, described_orders.ordered_at) as event_at
    from payments
    inner join described_orders
        on payments.order_id = described_orders.order_id
    where
        payments.is_captured
        and not payments.is_duplicate
        and payments.fee is null

),

events as (

    select * from order_events
    union all
    select * from refund_events
    union all
    select * from payment_events

),

matched as (

    select
        events.*,
        rules.cost_type,
        rules.rule_id,
        coalesce(rules.amount_per_event, 0)
        + coalesce(rules.amount_per_unit, 0) * events.units
        + coalesce(rules.rate, 0) * events.base_amount as exact_amount,
        row_number() over (
            partition by events.source_type, events.source_key, rules.cost_type
            order by rules.specificity desc nulls last, rules.valid_from desc nulls last, rules.rule_id asc
        ) as rule_rank
    from events
    inner join rules
        on
            events.source_type = rules.source_type
            and events.event_date >= rules.valid_from
            and (events.event_date < rules.valid_until or rules.valid_until is null)
            and (events.store_id = rules.store_id or rules.store_id is null)
            and (events.sales_channel = rules.sales_channel or rules.sales_channel is null)
            and (events.method = rules.method or rules.method is null)

),

final as (

    select
        {{ surrogate_key(['source_type', 'source_key', 'cost_type']) }} as order_cost_key,
        order_id,
        source_type,
        source_key,
        refund_id,
        cost_type,
        rule_id,
        cast({{ round_money('exact_amount') }} as {{ type_money() }}) as cost_amount,
        event_date,
        event_at
    from matched
    where rule_rank = 1

)

select * from final
