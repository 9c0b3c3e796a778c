-- One row per SKU, location and month with movements: stock at its beginning and end, and what moved.
--
-- The balance of a month needs all months before it, so a SKU's months are computed together; the days of
-- fct_inventory_levels start from these balances and need only their own month.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['stock_month'],
    meta={'entity': 'stock_item', 'entity_column': 'stock_item_key', 'touches': {'stock_month': 'stock_month'}},
) }}

with

movements as (

    select * from {{ ref('fct_inventory_movements') }}
    where
        is_countable
        and {{ is_touched('stock_item_key') }}

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
    from movements
    where
        movement_type = 'receipt'
        and (movement_date > incoming_date or movement_date is null)

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

months as (

    select
        stock_item_key,
        stock_month,
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
    group by stock_item_key, stock_month

),

balanced as (

    select
        *,
        sum(net_quantity) over (
            partition by stock_item_key order by first_event_date asc nulls last
            rows between unbounded preceding and current row
        ) as closing_on_hand,
        sum(incoming_quantity) over (
            partition by stock_item_key order by first_event_date asc nulls last
            rows between unbounded preceding and current row
        ) as closing_incoming,
        lead(first_event_date) over (partition by stock_item_key order by first_event_date asc nulls last) as next_event_date
    from months

),

final as (

    select
        stock_month,
        stock_item_key,
        sku,
        product_key,
        location_key,
        cast(closing_on_hand - net_quantity as {{ type_money() }}) as opening_on_hand,
        cast(received_quantity as {{ type_money() }}) as received_quantity,
        cast(sold_quantity as {{ type_money() }}) as sold_quantity,
        cast(returned_quantity as {{ type_money() }}) as returned_quantity,
        cast(corrected_quantity as {{ type_money() }}) as corrected_quantity,
        cast(closing_on_hand as {{ type_money() }}) as closing_on_hand,
        cast(closing_incoming - incoming_quantity as {{ type_money() }}) as opening_incoming,
        cast(closing_incoming as {{ type_money() }}) as closing_incoming,
        cast({{ dbt.date_trunc('month', 'first_event_date') }} as date) as month_start_date,
        first_event_date,
        next_event_date
    from balanced

)

select * from final
