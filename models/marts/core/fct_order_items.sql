-- One row per order line.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_item_key'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touches': {'customer': 'customer_key', 'product': 'product_key', 'day': ['order_date', 'first_refund_date']},
        'touched_also': [
            "select order_id from {{ ref('int_order_lines_priced') }} where sku in {{ touched('sku_code', 'int_skus_owned') }}",
        ],
    },
    indexes=[
        {'columns': ['order_id']},
        {'columns': ['product_key']},
        {'columns': ['customer_key']},
        {'columns': ['order_date']},
    ],
) }}

with

lines as (

    select * from {{ ref('int_order_lines_priced') }}
    where {{ is_touched('order_id') }}

),

costs as (

    select * from {{ ref('int_order_lines_costed') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('int_orders_classified') }}
    where {{ is_touched('order_id') }}

),

refund_lines as (

    select * from {{ ref('int_refund_lines_priced') }}
    where {{ is_touched('order_id') }}

),

skus as (

    select * from {{ ref('int_skus_owned') }}

),

returned as (

    select
        order_item_key,
        sum(coalesce(quantity, 0)) as returned_quantity,
        sum(case when is_restocked then coalesce(quantity, 0) else 0 end) as restocked_quantity,
        sum(case when measure = 'return' then goods_amount else 0 end) as returns_amount,
        sum(case when measure = 'return' then 0 else goods_amount end) as other_refund_amount,
        sum(tax_amount) as refunded_tax_amount,
        min(refund_date) as first_refund_date
    from refund_lines
    where order_item_key is not null
    group by order_item_key

),

joined as (

    select
        lines.*,
        coalesce(skus.product_key, '-1') as product_key,
        coalesce(orders.customer_key, '-1') as customer_key,
        orders.order_no,
        orders.store_id,
        orders.order_kind,
        orders.ordered_at,
        orders.is_money_countable and lines.measure <> 'test' as is_countable,
        costs.cost_source,
        costs.unit_cost_amount,
        costs.cogs_amount,
        -- of the sale's own cost, what restocked goods brought back
        {{ round_money('coalesce(returned.restocked_quantity, 0) * costs.unit_cost_amount') }} as restocked_cogs_amount,
        coalesce(returned.returned_quantity, 0) as returned_quantity,
        coalesce(returned.restocked_quantity, 0) as restocked_quantity,
        coalesce(returned.returns_amount, 0) as refunded_goods_amount,
        coalesce(returned.other_refund_amount, 0) as other_refund_amount,
        coalesce(returned.refunded_tax_amount, 0) as refunded_tax_amount,
        returned.first_refund_date
    from lines
    inner join orders
        on lines.order_id = orders.order_id
    left join costs
        on lines.order_item_key = costs.order_item_key
    left join skus
        on lines.sku = skus.sku
    left join returned
        on lines.order_item_key = returned.order_item_key

),

measured as (

    select
        *,
        case when measure = 'sale' then gross_amount else 0 end as gross_sales_amount,
        case
            when measure = 'sale' then discount_amount
            when measure = 'discount' then -(net_amount - other_refund_amount)
            else 0
        end as all_discount_amount,
        refunded_goods_amount
        + case when measure = 'return' then -net_amount else 0 end as returns_amount,
        case when measure = 'shipping' then net_amount - other_refund_amount else 0 end as shipping_amount,
        case when measure = 'adjustment' then net_amount - other_refund_amount else 0 end as adjustment_amount,
        case when measure = 'gift_card' then net_amount - other_refund_amount else 0 end as gift_card_amount
    from joined

),

final as (

    select
        order_item_key,
        order_id,
        line_id,
        order_no,
        store_id,
        product_key,
        customer_key,
        sku,
        title as item_title,
        line_kind,
        measure,
        cost_source,
        currency,
        cast(line_position as {{ dbt.type_int() }}) as line_position,
        cast(quantity as {{ type_money() }}) as quantity,
        cast(returned_quantity as {{ type_money() }}) as returned_quantity,
        cast(restocked_quantity as {{ type_money() }}) as restocked_quantity,
        cast(unit_price as {{ type_money() }}) as unit_price_amount,
        cast(gross_presentment as {{ type_money() }}) as gross_presentment_amount,
        cast(net_presentment as {{ type_money() }}) as net_presentment_amount,
        cast(gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(all_discount_amount as {{ type_money() }}) as discount_amount,
        cast(returns_amount as {{ type_money() }}) as returns_amount,
        cast(gross_sales_amount - all_discount_amount - returns_amount as {{ type_money() }}) as net_sales_amount,
        cast(shipping_amount as {{ type_money() }}) as shipping_amount,
        cast(adjustment_amount as {{ type_money() }}) as adjustment_amount,
        cast(gift_card_amount as {{ type_money() }}) as gift_card_amount,
        cast(
            case when measure in ('gift_card', 'test') then 0 else tax_amount - refunded_tax_amount end
            as {{ type_money() }}
        ) as tax_amount,
        cast(unit_cost_amount as {{ type_money() }}) as unit_cost_amount,
        cast(cogs_amount - restocked_cogs_amount as {{ type_money() }}) as cogs_amount,
        is_countable,
        is_price_unknown,
        order_date,
        first_refund_date,
        ordered_at
    from measured

)

select * from final
