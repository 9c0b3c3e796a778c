-- One row per order line that a refund gives back.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['refund_line_key'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touches': {'customer': 'customer_key', 'product': 'product_key', 'day': ['refund_date', 'order_date']},
    },
    indexes=[{'columns': ['order_id']}],
) }}

with

refund_lines as (

    select * from {{ ref('int_refund_lines_priced') }}
    where {{ is_touched('order_id') }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_id') }}

),

final as (

    select
        refund_lines.refund_line_key,
        refund_lines.refund_key,
        refund_lines.refund_id,
        refund_lines.order_id,
        refund_lines.order_item_key,
        coalesce(items.product_key, '-1') as product_key,
        orders.customer_key,
        refund_lines.line_kind,
        refund_lines.measure,
        refund_lines.restock,
        refund_lines.source_line as source_line_id,
        cast(refund_lines.refund_line_position as {{ dbt.type_int() }}) as refund_line_position,
        cast(refund_lines.quantity as {{ type_money() }}) as quantity,
        cast(refund_lines.goods_presentment as {{ type_money() }}) as goods_presentment_amount,
        cast(refund_lines.goods_amount as {{ type_money() }}) as goods_amount,
        cast(refund_lines.tax_amount as {{ type_money() }}) as tax_amount,
        cast(
            case
                when refund_lines.is_restocked
                    then {{ round_money('coalesce(refund_lines.quantity, 0) * items.unit_cost_amount') }}
            end as {{ type_money() }}
        ) as restocked_cogs_amount,
        refund_lines.is_restocked,
        refund_lines.restock is null as is_restock_unknown,
        refund_lines.is_line_unknown,
        orders.is_money_countable and refund_lines.measure <> 'test' as is_countable,
        orders.order_date,
        refund_lines.refund_date,
        refund_lines.refunded_at
    from refund_lines
    inner join orders
        on refund_lines.order_id = orders.order_id
    left join items
        on refund_lines.order_item_key = items.order_item_key

)

select * from final
