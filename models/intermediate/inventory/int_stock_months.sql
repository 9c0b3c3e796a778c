-- One row per SKU, location and month with movements: what moved in it, without a balance.
--
-- Apart from fct_inventory_monthly: a balance needs all months before it, the sums of a month its own movements
-- alone.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['stock_month'],
    meta={'entity': 'stock_month', 'entity_column': 'stock_month', 'touches': {'stock_item': 'stock_item_key'}},
    indexes=[{'columns': ['stock_item_key']}],
) }}
{% set columns = [
    'stock_item_key', 'sku', 'product_key', 'location_key', 'stock_month', 'incoming_stock_month', 'movement_type',
    'quantity', 'movement_date', 'incoming_date',
] | join(', ') %}

with

movements as (

    select {{ columns }}
    from {{ ref('fct_inventory_movements') }}
    where
        is_countable
        and {{ is_touched('stock_month') }}

),

receipts as (

    select {{ columns }}
    from {{ ref('fct_inventory_movements') }}
    where
        is_countable
        and movement_type = 'receipt'
        and {{ is_touched('incoming_stock_month') }}

),

events as (

    select
        stock_item_key,
        sku,
        product_key,
        location_key,
        stock_month,
        movement_date as event_date,
        movement_type,
        quantity,
        0 as incoming_quantity
    from movements
    where movement_date is not null

    union all

    -- a receipt is on its way from when it was known or expected until it arrives
    select
        stock_item_key,
        sku,
        product_key,
        location_key,
        incoming_stock_month as stock_month,
        incoming_date as event_date,
        'incoming' as movement_type,
        0 as quantity,
        quantity as incoming_quantity
    from receipts
    where movement_date > incoming_date or movement_date is null

    union all

    select
        stock_item_key,
        sku,
        product_key,
        location_key,
        stock_month,
        movement_date as event_date,
        'incoming' as movement_type,
        0 as quantity,
        -quantity as incoming_quantity
    from movements
    where
        movement_type = 'receipt'
        and movement_date > incoming_date

),

final as (

    select
        stock_month,
        stock_item_key,
        min(sku) as sku,
        min(product_key) as product_key,
        min(location_key) as location_key,
        sum(quantity) as net_quantity,
        sum(incoming_quantity) as incoming_quantity,
        sum(case when movement_type = 'receipt' then quantity else 0 end) as received_quantity,
        -sum(case when movement_type = 'sale' then quantity else 0 end) as sold_quantity,
        sum(case when movement_type = 'return' then quantity else 0 end) as returned_quantity,
        sum(case when movement_type in ('receipt', 'sale', 'return') then 0 else quantity end) as corrected_quantity,
        min(event_date) as first_event_date
    from events
    group by stock_month, stock_item_key

)

select * from final
