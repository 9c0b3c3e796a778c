-- One row per order line that a refund gives back: its goods and tax, in both currencies.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['refund_line_key'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
    },
    indexes=[{'columns': ['order_id']}],
) }}

with

refund_lines as (

    select * from {{ ref('stg_shop__refund_lines') }}
    where {{ is_touched('order_id') }}

),

refunds as (

    select * from {{ ref('int_refunds_priced') }}
    where {{ is_touched('order_id') }}

),

order_lines as (

    select * from {{ ref('int_order_lines_priced') }}
    where {{ is_touched('order_id') }}

),

-- a line id that an order uses twice means its first line
named_lines as (

    select
        *,
        row_number() over (
            partition by order_id, line_id
            order by line_position asc
        ) as name_rank
    from order_lines
    where line_id is not null

),

joined as (

    select
        {{ surrogate_key(['refund_lines.order_id', 'refund_lines.refund_position', 'refund_lines.line_position']) }}
            as refund_line_key,
        refunds.refund_key,
        refund_lines.order_id,
        refunds.refund_id,
        refund_lines.line_position as refund_line_position,
        refund_lines.line_id,
        named_lines.order_item_key,
        named_lines.sku,
        refund_lines.source_line,
        lower(trim(refund_lines.restock)) as restock,
        coalesce(named_lines.line_kind, 'merchandise') as line_kind,
        coalesce(named_lines.measure, 'sale') as line_measure,
        refunds.currency,
        refunds.fx_rate,
        refund_lines.quantity,
        -- a refund states its goods without tax and the tax apart, whatever the order's prices include
        coalesce(refund_lines.amount, 0) as goods_presentment,
        coalesce(refund_lines.tax_amount, 0) as tax_presentment,
        refunds.refunded_at,
        refunds.refund_date
    from refund_lines
    inner join refunds
        on
            refund_lines.order_id = refunds.order_id
            and refund_lines.refund_position = refunds.refund_position
    left join named_lines
        on
            refund_lines.order_id = named_lines.order_id
            and refund_lines.line_id = named_lines.line_id
            and named_lines.name_rank = 1

),

final as (

    select
        refund_line_key,
        refund_key,
        order_id,
        refund_id,
        refund_line_position,
        line_id,
        order_item_key,
        sku,
        source_line,
        restock,
        line_kind,
        -- money back for a shipping or discount line undoes that line's measure, not the goods'
        case when line_measure = 'sale' then 'return' else line_measure end as measure,
        currency,
        fx_rate,
        quantity,
        cast(goods_presentment as {{ type_money() }}) as goods_presentment,
        cast(tax_presentment as {{ type_money() }}) as tax_presentment,
        cast({{ to_store_currency('goods_presentment') }} as {{ type_money() }}) as goods_amount,
        cast({{ to_store_currency('tax_presentment') }} as {{ type_money() }}) as tax_amount,
        coalesce(restock in ('return', 'restock', 'restocked'), false) as is_restocked,
        order_item_key is null as is_line_unknown,
        refunded_at,
        refund_date
    from joined

)

select * from final
