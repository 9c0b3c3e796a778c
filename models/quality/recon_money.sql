-- One row per basis, store, day and measure: the same money read at each step of the way.
--
-- basis 'document': read again from the raw documents, past the allocation logic, and from staging.
-- basis 'order':    facts against the ledger, and against the roll-up for what is counted, by the order's day.
-- basis 'event':    the ledger against the roll-up, by the event's day.
--
-- An increment reads the days on which something changed, and what has no day; a new week begins with all of them:
-- what changed where no model saw it is found then (week {{ run_started_at.strftime('%G-%V') }}).
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['basis', 'store_id', 'metric_date', 'measure'],
    meta={
        'entity': 'day',
        'entity_column': 'metric_date',
        'untracked': {
            'orders': 'what the load changed is what staging reads and logs; a document that it left out has no day',
        },
        'touched_also': [
            "select cast('1970-01-01' as date)",
            "select order_date from {{ ref('fct_orders') }} where order_id in {{ touched('order') }}",
        ],
    },
    indexes=[{'columns': ['metric_date']}],
) }}
{% set no_day = "cast('1970-01-01' as date)" %}
{% set measures = [
    ('gross_sales', "'sale'", 1),
    ('discounts', "'discount'", -1),
    ('returns', "'return'", -1),
    ('shipping', "'shipping'", 1),
    ('tax', "'tax'", 1),
    ('adjustments', "'adjustment'", 1),
    ('gift_cards', "'gift_card'", 1),
    ('cogs', "'cogs', 'cogs_return'", -1),
    ('payment_fees', "'payment_fee'", -1),
    ('shipping_cost', "'shipping_cost'", -1),
    ('estimated_payment_fees', "'payment_fee_estimate'", -1),
    ('fulfilment', "'fulfilment'", -1),
    ('packaging', "'packaging'", -1),
    ('return_handling', "'return_handling'", -1),
] %}
{% set fact_columns = {
    'gross_sales': 'gross_sales_amount', 'discounts': 'discount_amount', 'returns': 'returns_amount',
    'shipping': 'shipping_amount', 'tax': 'tax_amount', 'adjustments': 'adjustment_amount',
    'gift_cards': 'gift_card_amount', 'cogs': 'cogs_amount', 'payment_fees': 'payment_fee_amount',
    'shipping_cost': 'shipping_cost_amount', 'estimated_payment_fees': 'estimated_payment_fee_amount',
    'fulfilment': 'fulfilment_cost_amount', 'packaging': 'packaging_cost_amount',
    'return_handling': 'return_handling_cost_amount',
} %}

with

-- what has no day is a part of its own, so that an index finds either
{% for name, fact in {
    'orders': ref('fct_orders'),
    'items': ref('fct_order_items'),
    'refund_lines': ref('fct_refund_lines'),
    'ledger': ref('fct_sales_ledger'),
}.items() -%}
{{ name }} as (

    select
        *,
        order_date as metric_date
    from {{ fact }}
    where
        order_date is not null
        and {{ is_touched('order_date') }}

    union all

    select
        *,
        {{ no_day }} as metric_date
    from {{ fact }}
    where order_date is null

),

{% endfor -%}
documents as (

    select
        _id as order_id,
        doc
    from {{ source('shop', 'orders') }}
    where _id in (select order_id from orders)

),

-- documents that no fact has stand under no day
lost_documents as (

    select documents._id as order_id
    from {{ source('shop', 'orders') }} as documents
    where not exists (select 1 from {{ ref('fct_orders') }} as facts where facts.order_id = documents._id)

),

lost_staging_orders as (

    select documents.order_id
    from {{ ref('stg_shop__orders') }} as documents
    where not exists (select 1 from {{ ref('fct_orders') }} as facts where facts.order_id = documents.order_id)

),

staging_items as (

    select * from {{ ref('stg_shop__order_items') }}
    where order_id in (select order_id from orders)

),

staging_orders as (

    select order_id
    from {{ ref('stg_shop__orders') }}
    where order_id in (select order_id from orders)

),

currencies as (

    select * from {{ ref('currencies') }}

),

kinds as (

    select * from {{ ref('int_skus_classified') }}

),

ledger_events as (

    select * from {{ ref('fct_sales_ledger') }}
    where {{ is_touched('event_date') }}

),

shop_days as (

    select * from {{ ref('agg_daily_metrics') }}
    where
        {{ is_touched('metric_date') }}
        and store_id <> '(shared)'

),

-- document basis: raw JSON, read with the JSON macros alone
raw_elements as (

    {{ json_array_rows('documents', 'doc', 'items', ['order_id']) }}

),

raw_lines as (

    {{ json_to_columns('raw_elements', 'element', [
        ('quantity', 'number', 'qty'),
        ('unit_price', 'number', 'unit_price'),
        ('tax_rate', 'number', 'tax_rate'),
        ('is_gift_card', 'boolean', 'gift_card'),
        ('sku', 'text', 'sku'),
    ], ['order_id', 'element_position']) }}

),

raw_headers as (

    {{ json_to_columns('documents', 'doc', [
        ('is_tax_included', 'boolean', 'tax.included'),
    ], ['order_id']) }}

),

raw_refunds as (

    {{ json_array_rows('documents', 'doc', 'refunds', ['order_id']) }}

),

raw_refund_ids as (

    {{ json_to_columns('raw_refunds', 'element', [('refund_id', 'text', 'id')], ['order_id', 'element_position', 'element']) }}

),

-- a refund that was delivered twice has one id, and counts once
raw_refunds_once as (

    select
        order_id,
        element_position,
        element,
        row_number() over (
            partition by
                order_id, coalesce(refund_id, 'position ' || cast(element_position as {{ dbt.type_string() }}))
            order by element_position asc
        ) as entry_rank
    from raw_refund_ids

),

raw_refund_documents as (

    select
        order_id,
        element_position as refund_position,
        element
    from raw_refunds_once
    where entry_rank = 1

),

raw_refund_elements as (

    {{ json_array_rows('raw_refund_documents', 'element', 'lines', ['order_id']) }}

),

raw_refund_lines as (

    {{ json_to_columns('raw_refund_elements', 'element', [('amount', 'number', 'amount')], ['order_id', 'element_position']) }}

),

priced_lines as (

    select
        orders.store_id,
        orders.metric_date,
        coalesce(raw_lines.quantity * raw_lines.unit_price, 0) as list_value,
        case
            when raw_headers.is_tax_included and raw_lines.tax_rate <> 0
                then {{ round_to_decimals(
                    'raw_lines.quantity * raw_lines.unit_price / (1 + raw_lines.tax_rate)',
                    'coalesce(currencies.decimals, 2)'
                ) }}
            else raw_lines.quantity * raw_lines.unit_price
        end as gross_presentment,
        orders.currency,
        orders.fx_rate,
        orders.is_money_countable
        and orders.order_kind = 'sale'
        and not coalesce(raw_lines.is_gift_card, false)
        and coalesce(kinds.line_kind, 'merchandise') in ('merchandise', 'manual', 'sample') as is_sale
    from raw_lines
    inner join orders
        on raw_lines.order_id = orders.order_id
    inner join raw_headers
        on raw_lines.order_id = raw_headers.order_id
    left join currencies
        on orders.currency = currencies.currency_code
    left join kinds
        on raw_lines.sku = kinds.sku
    where raw_lines.element_position is not null

),

document_values as (

    select
        'orders' as measure,
        orders.store_id,
        orders.metric_date,
        1 as amount
    from documents
    inner join orders
        on documents.order_id = orders.order_id

    union all

    select
        'orders' as measure,
        '(none)' as store_id,
        {{ no_day }} as metric_date,
        1 as amount
    from lost_documents

    union all

    select
        'lines' as measure,
        store_id,
        metric_date,
        1 as amount
    from priced_lines

    union all

    select
        'list_value' as measure,
        store_id,
        metric_date,
        list_value as amount
    from priced_lines

    union all

    select
        'gross_sales' as measure,
        store_id,
        metric_date,
        {{ to_store_currency('coalesce(gross_presentment, 0)') }} as amount
    from priced_lines
    where is_sale

    union all

    select
        'refunded_goods' as measure,
        orders.store_id,
        orders.metric_date,
        coalesce(raw_refund_lines.amount, 0) as amount
    from raw_refund_lines
    inner join orders
        on raw_refund_lines.order_id = orders.order_id
    where raw_refund_lines.element_position is not null

),

staging_values as (

    select
        'orders' as measure,
        orders.store_id,
        orders.metric_date,
        1 as amount
    from staging_orders
    inner join orders
        on staging_orders.order_id = orders.order_id

    union all

    select
        'orders' as measure,
        '(none)' as store_id,
        {{ no_day }} as metric_date,
        1 as amount
    from lost_staging_orders

    union all

    select
        'lines' as measure,
        orders.store_id,
        orders.metric_date,
        1 as amount
    from staging_items
    inner join orders
        on staging_items.order_id = orders.order_id

    union all

    select
        'list_value' as measure,
        orders.store_id,
        orders.metric_date,
        coalesce(staging_items.quantity * staging_items.unit_price, 0) as amount
    from staging_items
    inner join orders
        on staging_items.order_id = orders.order_id

),

-- the same from the facts and from the ledger; list value and refunded goods are sums over currencies
-- that mean nothing but are equal at every step
fact_values as (

    select
        'orders' as measure,
        store_id,
        metric_date,
        1 as amount
    from orders

    union all

    select
        'lines' as measure,
        store_id,
        metric_date,
        1 as amount
    from items

    union all

    select
        'list_value' as measure,
        store_id,
        metric_date,
        coalesce(quantity * unit_price_amount, 0) as amount
    from items

    union all

    select
        'gross_sales' as measure,
        store_id,
        metric_date,
        gross_sales_amount as amount
    from items
    where is_countable

    union all

    select
        'refunded_goods' as measure,
        orders.store_id,
        refund_lines.metric_date,
        refund_lines.goods_presentment_amount as amount
    from refund_lines
    inner join orders
        on refund_lines.order_id = orders.order_id

),

ledger_values as (

    select
        'lines' as measure,
        store_id,
        metric_date,
        1 as amount
    from ledger
    where
        source_type = 'order'
        and is_source_line

    union all

    select
        'gross_sales' as measure,
        store_id,
        metric_date,
        amount
    from ledger
    where
        entry_type = 'sale'
        and is_countable

    union all

    select
        'refunded_goods' as measure,
        store_id,
        metric_date,
        -amount_presentment as amount
    from ledger
    where
        source_type = 'refund'
        and is_source_line

),

document_steps as (

    {% for step in ['document', 'staging', 'fact', 'ledger'] -%}
    select
        store_id,
        metric_date,
        measure,
        {%- for other in ['document', 'staging', 'fact', 'ledger'] %}
        {{ 'amount' if other == step else '0' }} as {{ other }}_amount{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ step }}_values
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

-- a step that does not know a measure is null there: the ledger splits the list value into price and tax
document_basis as (

    select
        store_id,
        metric_date,
        measure,
        sum(document_amount) as document_amount,
        case when measure in ('orders', 'lines', 'list_value') then sum(staging_amount) end as staging_amount,
        sum(fact_amount) as fact_amount,
        case when measure in ('lines', 'gross_sales', 'refunded_goods') then sum(ledger_amount) end as ledger_amount
    from document_steps
    group by store_id, metric_date, measure

),

-- order basis: facts and ledger
order_days as (

    select
        store_id,
        metric_date,
        {%- for measure, column in fact_columns.items() %}
        sum(coalesce({{ column }}, 0)) as {{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from orders
    where is_money_countable
    group by store_id, metric_date

),

ledger_order_days as (

    select
        store_id,
        metric_date,
        {%- for measure, entry_types, sign in measures %}
        {{ sign }} * sum(case when entry_type in ({{ entry_types }}) then amount else 0 end) as {{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from ledger
    where is_countable
    group by store_id, metric_date

),

ledger_event_days as (

    select
        store_id,
        event_date as metric_date,
        {%- for measure, entry_types, sign in measures %}
        {{ sign }} * sum(case when entry_type in ({{ entry_types }}) then amount else 0 end) as {{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from ledger_events
    where is_countable
    group by store_id, event_date

),

order_counts as (

    select
        store_id,
        metric_date,
        count(*) as orders
    from orders
    where is_countable
    group by store_id, metric_date

),

order_basis as (

    {% for measure in fact_columns -%}
    select
        coalesce(order_days.store_id, ledger_order_days.store_id) as store_id,
        coalesce(order_days.metric_date, ledger_order_days.metric_date) as metric_date,
        '{{ measure }}' as measure,
        coalesce(order_days.{{ measure }}, 0) as fact_amount,
        coalesce(ledger_order_days.{{ measure }}, 0) as ledger_amount
    from order_days
    full outer join ledger_order_days
        on
            order_days.store_id = ledger_order_days.store_id
            and order_days.metric_date = ledger_order_days.metric_date
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

event_basis as (

    {% for measure, column in fact_columns.items() -%}
    select
        coalesce(ledger_event_days.store_id, shop_days.store_id) as store_id,
        coalesce(ledger_event_days.metric_date, shop_days.metric_date) as metric_date,
        '{{ measure }}' as measure,
        coalesce(ledger_event_days.{{ measure }}, 0) as ledger_amount,
        coalesce(shop_days.{{ column }}, 0) as rollup_amount
    from ledger_event_days
    full outer join shop_days
        on
            ledger_event_days.store_id = shop_days.store_id
            and ledger_event_days.metric_date = shop_days.metric_date
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

counted as (

    select
        coalesce(order_counts.store_id, shop_days.store_id) as store_id,
        coalesce(order_counts.metric_date, shop_days.metric_date) as metric_date,
        coalesce(order_counts.orders, 0) as fact_amount,
        coalesce(shop_days.orders, 0) as rollup_amount
    from order_counts
    full outer join shop_days
        on
            order_counts.store_id = shop_days.store_id
            and order_counts.metric_date = shop_days.metric_date

),

unioned as (

    select
        'document' as basis,
        store_id,
        metric_date,
        measure,
        document_amount,
        staging_amount,
        fact_amount,
        ledger_amount,
        cast(null as {{ type_money() }}) as rollup_amount
    from document_basis

    union all

    select
        'order' as basis,
        store_id,
        metric_date,
        measure,
        cast(null as {{ type_money() }}) as document_amount,
        cast(null as {{ type_money() }}) as staging_amount,
        fact_amount,
        ledger_amount,
        cast(null as {{ type_money() }}) as rollup_amount
    from order_basis
    where
        fact_amount <> 0
        or ledger_amount <> 0

    union all

    select
        'order' as basis,
        store_id,
        metric_date,
        'orders' as measure,
        cast(null as {{ type_money() }}) as document_amount,
        cast(null as {{ type_money() }}) as staging_amount,
        fact_amount,
        cast(null as {{ type_money() }}) as ledger_amount,
        rollup_amount
    from counted
    where
        fact_amount <> 0
        or rollup_amount <> 0

    union all

    select
        'event' as basis,
        store_id,
        metric_date,
        measure,
        cast(null as {{ type_money() }}) as document_amount,
        cast(null as {{ type_money() }}) as staging_amount,
        cast(null as {{ type_money() }}) as fact_amount,
        ledger_amount,
        rollup_amount
    from event_basis
    where
        ledger_amount <> 0
        or rollup_amount <> 0

),

final as (

    select
        basis,
        store_id,
        metric_date,
        measure,
        cast(document_amount as {{ type_money() }}) as document_amount,
        cast(staging_amount as {{ type_money() }}) as staging_amount,
        cast(fact_amount as {{ type_money() }}) as fact_amount,
        cast(ledger_amount as {{ type_money() }}) as ledger_amount,
        cast(rollup_amount as {{ type_money() }}) as rollup_amount,
        -- steps that do not know the measure are null, and take no part
        least(document_amount, staging_amount, fact_amount, ledger_amount, rollup_amount)
        = greatest(document_amount, staging_amount, fact_amount, ledger_amount, rollup_amount) as is_reconciled
    from unioned

)

select * from final
