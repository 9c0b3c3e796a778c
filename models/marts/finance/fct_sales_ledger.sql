-- One row per signed money event: what an order line, charge, cost or refund adds to or takes from the shop.
--
-- `amount` is in the store's currency; + is income, − is a reduction or a cost. A refund is filed under
-- its own day (`event_date`) and its order's day (`order_date`): the first gives the event basis, the
-- second the order basis. A payment's fee is filed under the day of the payment; the cost of goods, of
-- shipping and of fulfilment under the order's day, beside the sale that they belong to; the handling of
-- a return under the refund's.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['entry_id'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touches': {'customer': 'customer_key', 'product': 'product_key', 'day': ['event_date', 'order_date']},
    },
    indexes=[
        {'columns': ['order_id']},
        {'columns': ['event_date']},
        {'columns': ['order_date']},
        {'columns': ['customer_key']},
        {'columns': ['product_key']},
    ],
) }}

with

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_id') }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where {{ is_touched('order_id') }}

),

lines as (

    select * from {{ ref('int_order_lines_priced') }}
    where {{ is_touched('order_id') }}

),

charges as (

    select * from {{ ref('int_order_charges') }}
    where {{ is_touched('order_id') }}

),

payment_fees as (

    select * from {{ ref('int_payment_fees') }}
    where {{ is_touched('order_id') }}

),

costs as (

    select * from {{ ref('int_order_costs') }}
    where {{ is_touched('order_id') }}

),

refunds as (

    select * from {{ ref('int_refunds_priced') }}
    where {{ is_touched('order_id') }}

),

refund_lines as (

    select * from {{ ref('int_refund_lines_priced') }}
    where {{ is_touched('order_id') }}

),

fact_refund_lines as (

    select * from {{ ref('fct_refund_lines') }}
    where {{ is_touched('order_id') }}

),

-- every line has exactly one entry of its own measure, also when its amount is 0
line_entries as (

    select
        measure as entry_type,
        order_item_key as source_key,
        order_id,
        order_item_key,
        line_id as source_line_id,
        line_kind,
        case when measure = 'sale' then gross_amount else net_amount end as amount,
        case when measure = 'sale' then gross_presentment else net_presentment end as amount_presentment,
        quantity,
        true as is_source_line
    from lines

),

discount_entries as (

    select
        'discount' as entry_type,
        order_item_key as source_key,
        order_id,
        order_item_key,
        line_id as source_line_id,
        line_kind,
        -discount_amount as amount,
        -discount_presentment as amount_presentment,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        false as is_source_line
    from lines
    where
        measure = 'sale'
        and (discount_presentment <> 0 or discount_amount <> 0)

),

tax_entries as (

    select
        'tax' as entry_type,
        order_item_key as source_key,
        order_id,
        order_item_key,
        line_id as source_line_id,
        line_kind,
        tax_amount as amount,
        tax_presentment as amount_presentment,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        false as is_source_line
    from lines
    where
        measure not in ('gift_card', 'test')
        and (tax_presentment <> 0 or tax_amount <> 0)

),

cost_entries as (

    select
        'cogs' as entry_type,
        items.order_item_key as source_key,
        items.order_id,
        items.order_item_key,
        items.line_id as source_line_id,
        items.line_kind,
        -{{ round_money('coalesce(items.quantity, 0) * items.unit_cost_amount') }} as amount,
        cast(null as {{ dbt.type_numeric() }}) as amount_presentment,
        items.quantity,
        false as is_source_line
    from items
    where items.unit_cost_amount is not null

),

charge_entries as (

    select
        'shipping' as entry_type,
        order_id as source_key,
        order_id,
        shipping_amount as amount,
        shipping_presentment as amount_presentment
    from charges
    where shipping_amount <> 0 or shipping_presentment <> 0

    union all

    select
        'shipping_cost' as entry_type,
        order_id as source_key,
        order_id,
        -shipping_cost_amount as amount,
        cast(null as {{ dbt.type_numeric() }}) as amount_presentment
    from charges
    where shipping_cost_amount <> 0

    union all

    select
        'total_difference' as entry_type,
        order_id as source_key,
        order_id,
        difference_amount as amount,
        difference_presentment as amount_presentment
    from charges
    where difference_amount <> 0

),

-- everything that is filed under the order's own day
order_day_entries as (

    select * from line_entries
    union all
    select * from discount_entries
    union all
    select * from tax_entries
    union all
    select * from cost_entries
    union all
    select
        entry_type,
        source_key,
        order_id,
        cast(null as {{ dbt.type_string() }}) as order_item_key,
        cast(null as {{ dbt.type_string() }}) as source_line_id,
        cast(null as {{ dbt.type_string() }}) as line_kind,
        amount,
        amount_presentment,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        false as is_source_line
    from charge_entries

),

refund_line_entries as (

    select
        measure as entry_type,
        refund_line_key as source_key,
        order_id,
        order_item_key,
        source_line as source_line_id,
        refund_id as source_document_no,
        line_kind,
        -goods_amount as amount,
        -goods_presentment as amount_presentment,
        -quantity as quantity,
        true as is_source_line,
        refund_date as event_date,
        refunded_at as event_at
    from refund_lines

    union all

    select
        'tax' as entry_type,
        refund_line_key as source_key,
        order_id,
        order_item_key,
        source_line as source_line_id,
        refund_id as source_document_no,
        line_kind,
        -tax_amount as amount,
        -tax_presentment as amount_presentment,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        false as is_source_line,
        refund_date as event_date,
        refunded_at as event_at
    from refund_lines
    where
        measure not in ('gift_card', 'test')
        and tax_presentment <> 0

    union all

    select
        'cogs_return' as entry_type,
        refund_line_key as source_key,
        order_id,
        order_item_key,
        source_line_id,
        refund_id as source_document_no,
        line_kind,
        restocked_cogs_amount as amount,
        cast(null as {{ dbt.type_numeric() }}) as amount_presentment,
        quantity,
        false as is_source_line,
        refund_date as event_date,
        refunded_at as event_at
    from fact_refund_lines
    where restocked_cogs_amount is not null

    union all

    select
        'shipping' as entry_type,
        refund_key as source_key,
        order_id,
        cast(null as {{ dbt.type_string() }}) as order_item_key,
        cast(null as {{ dbt.type_string() }}) as source_line_id,
        refund_id as source_document_no,
        cast(null as {{ dbt.type_string() }}) as line_kind,
        -shipping_amount as amount,
        -shipping_presentment as amount_presentment,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        false as is_source_line,
        refund_date as event_date,
        refunded_at as event_at
    from refunds
    where shipping_amount <> 0 or shipping_presentment <> 0

    union all

    select
        'adjustment' as entry_type,
        refund_key as source_key,
        order_id,
        cast(null as {{ dbt.type_string() }}) as order_item_key,
        cast(null as {{ dbt.type_string() }}) as source_line_id,
        refund_id as source_document_no,
        cast(null as {{ dbt.type_string() }}) as line_kind,
        -adjustment_amount as amount,
        -adjustment_presentment as amount_presentment,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        false as is_source_line,
        refund_date as event_date,
        refunded_at as event_at
    from refunds
    where adjustment_amount <> 0 or adjustment_presentment <> 0

),

entries as (

    select
        order_day_entries.entry_type,
        'order' as source_type,
        order_day_entries.source_key,
        order_day_entries.order_id,
        order_day_entries.order_item_key,
        orders.order_no as source_document_no,
        order_day_entries.source_line_id,
        order_day_entries.line_kind,
        order_day_entries.amount,
        order_day_entries.amount_presentment,
        order_day_entries.quantity,
        order_day_entries.is_source_line,
        orders.order_date as event_date,
        orders.placed_at as event_at
    from order_day_entries
    inner join orders
        on order_day_entries.order_id = orders.order_id

    union all

    select
        'payment_fee' as entry_type,
        'payment' as source_type,
        payment_fees.payment_key as source_key,
        payment_fees.order_id,
        cast(null as {{ dbt.type_string() }}) as order_item_key,
        orders.order_no as source_document_no,
        cast(null as {{ dbt.type_string() }}) as source_line_id,
        cast(null as {{ dbt.type_string() }}) as line_kind,
        -payment_fees.fee_amount as amount,
        -payment_fees.fee_presentment as amount_presentment,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        false as is_source_line,
        payment_fees.fee_date as event_date,
        payment_fees.charged_at as event_at
    from payment_fees
    inner join orders
        on payment_fees.order_id = orders.order_id

    union all

    select
        case when costs.cost_type = 'payment_fee' then 'payment_fee_estimate' else costs.cost_type end as entry_type,
        costs.source_type,
        costs.source_key,
        costs.order_id,
        cast(null as {{ dbt.type_string() }}) as order_item_key,
        coalesce(costs.refund_id, orders.order_no) as source_document_no,
        cast(null as {{ dbt.type_string() }}) as source_line_id,
        cast(null as {{ dbt.type_string() }}) as line_kind,
        -costs.cost_amount as amount,
        cast(null as {{ dbt.type_numeric() }}) as amount_presentment,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        false as is_source_line,
        costs.event_date,
        costs.event_at
    from costs
    inner join orders
        on costs.order_id = orders.order_id

    union all

    select
        entry_type,
        'refund' as source_type,
        source_key,
        order_id,
        order_item_key,
        source_document_no,
        source_line_id,
        line_kind,
        amount,
        amount_presentment,
        quantity,
        is_source_line,
        event_date,
        event_at
    from refund_line_entries

),

final as (

    select
        {{ surrogate_key(['entries.source_type', 'entries.entry_type', 'entries.source_key']) }} as entry_id,
        entries.entry_type,
        entries.line_kind,
        entries.source_type,
        entries.order_id,
        entries.source_document_no,
        entries.source_line_id,
        entries.order_item_key,
        orders.customer_key,
        coalesce(items.product_key, '-1') as product_key,
        orders.store_id,
        orders.exclusion_reason,
        orders.currency,
        orders.fx_rate,
        cast(entries.amount as {{ type_money() }}) as amount,
        cast(entries.amount_presentment as {{ type_money() }}) as amount_presentment,
        cast(entries.quantity as {{ type_money() }}) as quantity,
        entries.is_source_line,
        orders.is_money_countable
        and entries.entry_type not in ('test', 'total_difference') as is_countable,
        entries.event_date,
        orders.order_date,
        entries.event_at
    from entries
    inner join orders
        on entries.order_id = orders.order_id
    left join items
        on entries.order_item_key = items.order_item_key

)

select * from final
