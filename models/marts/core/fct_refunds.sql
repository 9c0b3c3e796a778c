-- One row per refund of an order.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['refund_key'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touches': {'customer': 'customer_key', 'day': ['refund_date', 'order_date']},
    },
    indexes=[{'columns': ['order_id']}],
) }}

with

refunds as (

    select * from {{ ref('int_refunds_priced') }}
    where {{ is_touched('order_id') }}

),

refund_lines as (

    select * from {{ ref('int_refund_lines_priced') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_id') }}

),

line_totals as (

    select
        refund_key,
        sum(coalesce(quantity, 0)) as returned_quantity,
        sum(case when measure = 'return' then goods_amount else 0 end) as goods_amount,
        sum(case when measure = 'return' then 0 else goods_amount end) as other_lines_amount,
        sum(tax_amount) as tax_amount
    from refund_lines
    group by refund_key

),

final as (

    select
        refunds.refund_key,
        refunds.refund_id,
        refunds.order_id,
        orders.store_id,
        orders.customer_key,
        case
            when refunds.method is not null then {{ surrogate_key(['refunds.method']) }} else '-1'
        end as payment_method_key,
        refunds.reason,
        refunds.currency,
        cast(refunds.refund_position as {{ dbt.type_int() }}) as refund_position,
        cast(coalesce(line_totals.returned_quantity, 0) as {{ type_money() }}) as returned_quantity,
        cast(coalesce(line_totals.goods_amount, 0) as {{ type_money() }}) as goods_amount,
        cast(coalesce(line_totals.other_lines_amount, 0) as {{ type_money() }}) as other_lines_amount,
        cast(coalesce(line_totals.tax_amount, 0) as {{ type_money() }}) as tax_amount,
        cast(refunds.shipping_amount as {{ type_money() }}) as shipping_amount,
        cast(refunds.adjustment_amount as {{ type_money() }}) as adjustment_amount,
        cast(
            coalesce(line_totals.goods_amount, 0)
            + coalesce(line_totals.other_lines_amount, 0)
            + coalesce(line_totals.tax_amount, 0)
            + refunds.shipping_amount
            + refunds.adjustment_amount as {{ type_money() }}
        ) as refund_amount,
        orders.is_money_countable as is_countable,
        orders.cancelled_at is not null and refunds.refunded_at >= orders.cancelled_at as is_after_cancellation,
        refunds.is_date_unknown,
        orders.order_date,
        refunds.refund_date,
        refunds.refunded_at
    from refunds
    inner join orders
        on refunds.order_id = orders.order_id
    left join line_totals
        on refunds.refund_key = line_totals.refund_key

)

select * from final
