-- One row per order line: the unit cost that was valid when it was ordered, in the store's currency.
--
-- The line's own cost, else the product's cost history at that moment. A cost that is not known stays
-- null: a later cost is not put in its place, and 0 would be a margin of 100 %.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_item_key'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touched_also': [
            "select order_id from {{ ref('int_order_lines_priced') }} where sku in {{ touched('sku_code', 'int_skus_owned') }} and product_id is null",
            "select order_id from {{ ref('int_order_lines_priced') }} where product_id in {{ touched('product', 'int_product_costs') }} and unit_cost is null",
            "select lines.order_id from {{ ref('int_order_lines_priced') }} as lines inner join {{ ref('int_skus_owned') }} as skus on lines.sku = skus.sku where skus.product_id in {{ touched('product', 'int_product_costs') }} and lines.product_id is null and lines.unit_cost is null",
        ],
    },
    indexes=[{'columns': ['order_id']}],
) }}

with

lines as (

    select * from {{ ref('int_order_lines_priced') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('int_orders_classified') }}
    where {{ is_touched('order_id') }}

),

costs as (

    select * from {{ ref('int_product_costs') }}

),

skus as (

    select * from {{ ref('int_skus_owned') }}

),

owned as (

    select
        lines.order_item_key,
        lines.order_id,
        lines.quantity,
        lines.measure,
        lines.currency,
        lines.fx_rate,
        lines.unit_cost as line_cost,
        coalesce(lines.product_id, skus.product_id) as product_id,
        orders.ordered_at
    from lines
    inner join orders
        on lines.order_id = orders.order_id
    left join skus
        on lines.sku = skus.sku

),

costed as (

    select
        owned.order_item_key,
        owned.order_id,
        owned.quantity,
        owned.measure,
        case
            when owned.measure not in ('sale', 'return') then 'not_applicable'
            when owned.line_cost is not null then 'order_line'
            when costs.unit_cost is not null then 'price_history'
            else 'unknown'
        end as cost_source,
        case
            when owned.measure not in ('sale', 'return') then null
            when owned.line_cost is not null then owned.line_cost
            else costs.unit_cost
        end as unit_cost_amount
    from owned
    left join costs
        on
            owned.product_id = costs.product_id
            and owned.line_cost is null
            and owned.ordered_at >= costs.valid_from
            and (owned.ordered_at < costs.valid_until or costs.valid_until is null)

),

final as (

    select
        order_item_key,
        order_id,
        cost_source,
        cast(unit_cost_amount as {{ type_money() }}) as unit_cost_amount,
        cast({{ round_money('coalesce(quantity, 0) * unit_cost_amount') }} as {{ type_money() }}) as cogs_amount
    from costed

)

select * from final
