-- One row per SKU, location and stretch of days over which the stock stayed as it was.
--
-- Only days on which something changed begin a row: the largest demo shop has 62 million days of SKU and
-- place, and some 750 thousand changes. `fct_inventory_daily` shows every day from these. An increment
-- computes the touched months of a SKU and location from their opening balance.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['inventory_level_key'],
    meta={'entity': 'stock_month', 'entity_column': 'stock_month'},
) }}

with

movements as (

    select * from {{ ref('fct_inventory_movements') }}
    where
        is_countable
        and {{ is_touched('stock_month') }}

),

receipts as (

    select * from {{ ref('fct_inventory_movements') }}
    where
        is_countable
        and movement_type = 'receipt'
        and {{ is_touched('incoming_stock_month') }}

),

months as (

    select * from {{ ref('fct_inventory_monthly') }}
    where {{ is_touched('stock_month') }}

),

events as (

    select
        stock_month,
        movement_date as event_date,
        movement_type,
        quantity,
        0 as incoming_quantity,
        is_out_of_order
    from movements
    where movement_date is not null

    union all

    -- a receipt is on its way from when it was known or expected until it arrives
    select
        incoming_stock_month as stock_month,
        incoming_date as event_date,
        'incoming' as movement_type,
        0 as quantity,
        quantity as incoming_quantity,
        false as is_out_of_order
    from receipts
    where movement_date > incoming_date or movement_date is null

    union all

    select
        stock_month,
        movement_date as event_date,
        'incoming' as movement_type,
        0 as quantity,
        -quantity as incoming_quantity,
        false as is_out_of_order
    from movements
    where
        movement_type = 'receipt'
        and movement_date > incoming_date

),

changes as (

    select
        stock_month,
        event_date,
        sum(quantity) as net_quantity,
        sum(incoming_quantity) as incoming_quantity,
        sum(case when movement_type = 'receipt' then quantity else 0 end) as received_quantity,
        -sum(case when movement_type = 'sale' then quantity else 0 end) as sold_quantity,
        sum(case when movement_type = 'return' then quantity else 0 end) as returned_quantity,
        sum(case when movement_type = 'adjustment' then quantity else 0 end) as adjusted_quantity,
        -sum(case when movement_type = 'damage' then quantity else 0 end) as damaged_quantity,
        sum(case when movement_type = 'transfer' then quantity else 0 end) as transferred_quantity,
        count(case when is_out_of_order then 1 end) > 0 as has_out_of_order_movement,
        -- goods that left the building, whatever the books say
        count(case when movement_type in ('sale', 'damage', 'transfer') and quantity < 0 then 1 end) > 0 as has_outflow
    from events
    group by stock_month, event_date

),

balanced as (

    select
        changes.*,
        months.stock_item_key,
        months.sku,
        months.product_key,
        months.location_key,
        months.opening_on_hand
        + sum(changes.net_quantity) over (
            partition by changes.stock_month order by changes.event_date asc nulls last
            rows between unbounded preceding and current row
        ) as on_hand,
        months.opening_incoming
        + sum(changes.incoming_quantity) over (
            partition by changes.stock_month order by changes.event_date asc nulls last
            rows between unbounded preceding and current row
        ) as incoming,
        coalesce(
            lead(changes.event_date) over (partition by changes.stock_month order by changes.event_date asc nulls last),
            months.next_event_date
        ) as valid_until
    from changes
    inner join months
        on changes.stock_month = months.stock_month

),

final as (

    select
        {{ surrogate_key(['stock_item_key', 'event_date']) }} as inventory_level_key,
        stock_month,
        stock_item_key,
        sku,
        product_key,
        location_key,
        cast(on_hand as {{ type_money() }}) as on_hand,
        -- what can be sold; orders take their goods out of the stock when they are placed
        cast(greatest(on_hand, 0) as {{ type_money() }}) as available,
        cast(incoming as {{ type_money() }}) as incoming,
        cast(received_quantity as {{ type_money() }}) as received_quantity,
        cast(sold_quantity as {{ type_money() }}) as sold_quantity,
        cast(returned_quantity as {{ type_money() }}) as returned_quantity,
        cast(adjusted_quantity as {{ type_money() }}) as adjusted_quantity,
        cast(damaged_quantity as {{ type_money() }}) as damaged_quantity,
        cast(transferred_quantity as {{ type_money() }}) as transferred_quantity,
        cast(
            net_quantity - received_quantity + sold_quantity - returned_quantity - adjusted_quantity
            + damaged_quantity - transferred_quantity as {{ type_money() }}
        ) as other_quantity,
        on_hand <= 0 as is_stockout,
        on_hand < 0 as is_negative,
        -- more left than was there: goods came in that nobody wrote down
        on_hand < 0 and has_outflow as is_receipt_missing,
        has_out_of_order_movement,
        event_date as valid_from,
        valid_until
    from balanced

)

select * from final
