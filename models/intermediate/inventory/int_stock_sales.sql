-- One row per SKU, location, order and day on which goods left for the order: what they were sold for, and their cost.
--
-- Apart from agg_inventory_health, whose window moves on each day: which lines the goods were sold with is a
-- question of the order alone. Beside what left here stands all that the order had of the SKU, so amounts are shared
-- out by units.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id', 'stock_item_key', 'movement_date'],
    meta={'entity': 'order', 'entity_column': 'order_id'},
    indexes=[{'columns': ['movement_date']}],
) }}

with

movements as (

    select * from {{ ref('fct_inventory_movements') }}
    where
        is_countable
        and movement_type = 'sale'
        and movement_date is not null
        and {{ is_touched('order_id') }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'
        and {{ is_touched('order_id') }}

),

left_orders as (

    select
        order_id,
        stock_item_key,
        movement_date,
        min(sku) as sku,
        -sum(quantity) as units
    from movements
    where order_id is not null
    group by order_id, stock_item_key, movement_date

),

ordered as (

    select
        order_id,
        sku,
        sum(quantity) as units,
        sum(gross_sales_amount - discount_amount) as demand_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(cogs_amount) as cogs_amount,
        count(*) - count(unit_cost_amount) as uncosted_lines
    from items
    group by order_id, sku

),

final as (

    select
        left_orders.order_id,
        left_orders.stock_item_key,
        cast(left_orders.units as {{ type_money() }}) as units,
        -- shares are not rounded to money before they are added up
        cast(ordered.demand_amount * left_orders.units / ordered.units as numeric(38, 16)) as demand_amount,
        cast(ordered.cogs_amount * left_orders.units / ordered.units as numeric(38, 16)) as cogs_amount,
        cast(
            (ordered.net_sales_amount - ordered.cogs_amount) * left_orders.units / ordered.units as numeric(38, 16)
        ) as gross_profit_amount,
        cast(ordered.uncosted_lines as {{ dbt.type_int() }}) as uncosted_lines,
        left_orders.movement_date
    from left_orders
    inner join ordered
        on
            left_orders.order_id = ordered.order_id
            and left_orders.sku = ordered.sku
    where ordered.units > 0

)

select * from final
