-- One row per product, month of the refund and reason that the refund gives.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_return_key'],
    meta={
        'entity': 'month',
        'entity_column': 'month_start_date',
        'touched_also': [
            'select {{ dbt.date_trunc("month", "cast(days.entity_id as date)") }} from {{ touched("day") }} as days',
            'select {{ dbt.date_trunc("month", "refund_date") }} from {{ ref("fct_refund_lines") }}'
            ' where order_id in {{ touched("order") }}',
            'select {{ dbt.date_trunc("month", "refund_date") }} from {{ ref("fct_refund_lines") }}'
            ' where product_key in {{ touched("sku_owner") }}',
        ],
    },
) }}

with

refund_lines as (

    select * from {{ ref('fct_refund_lines') }}
    where
        is_countable
        and measure = 'return'
        and {{ is_touched("cast(" ~ dbt.date_trunc('month', 'refund_date') ~ " as date)") }}

),

refunds as (

    select * from {{ ref('fct_refunds') }}

),

owners as (

    select * from {{ ref('int_skus_owned') }}

),

described as (

    select
        owners.product_id,
        coalesce(refunds.reason, 'not stated') as reason,
        refund_lines.order_id,
        coalesce(refund_lines.quantity, 0) as quantity,
        refund_lines.goods_amount,
        refund_lines.restocked_cogs_amount,
        refund_lines.restock,
        cast({{ dbt.date_trunc('month', 'refund_lines.refund_date') }} as date) as month_start_date
    from refund_lines
    inner join refunds
        on refund_lines.refund_key = refunds.refund_key
    inner join owners
        on refund_lines.product_key = owners.product_key
    where refund_lines.refund_date is not null

),

final as (

    select
        {{ surrogate_key(['product_id', 'month_start_date', 'reason']) }} as product_return_key,
        product_id,
        reason,
        cast(count(distinct order_id) as {{ dbt.type_int() }}) as returned_orders,
        cast(sum(quantity) as {{ type_money() }}) as returned_units,
        cast(sum(case when restock = 'return' then quantity else 0 end) as {{ type_money() }}) as restocked_units,
        cast(sum(case when restock = 'damaged' then quantity else 0 end) as {{ type_money() }}) as damaged_units,
        cast(sum(case when restock is null then quantity else 0 end) as {{ type_money() }}) as unknown_restock_units,
        cast(sum(goods_amount) as {{ type_money() }}) as returns_amount,
        cast(sum(coalesce(restocked_cogs_amount, 0)) as {{ type_money() }}) as restocked_cogs_amount,
        month_start_date
    from described
    group by product_id, month_start_date, reason

)

select * from final
