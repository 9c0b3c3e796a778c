-- One row per SKU, location and stretch of days over which the stock stayed as it was.
--
-- Only days on which something changed begin a row: on a shop of 16 years that is one row per movement
-- day instead of some fifty million days. `fct_inventory_daily` shows every day from these.
with

movements as (

    select * from {{ ref('fct_inventory_movements') }}
    where is_countable

),

events as (

    select
        stock_item_key,
        sku,
        product_key,
        location_key,
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
        stock_item_key,
        sku,
        product_key,
        location_key,
        incoming_date as event_date,
        'incoming' as movement_type,
        0 as quantity,
        quantity as incoming_quantity,
        false as is_out_of_order
    from movements
    where
        movement_type = 'receipt'
        and incoming_date is not null
        and (movement_date > incoming_date or movement_date is null)

    union all

    select
        stock_item_key,
        sku,
        product_key,
        location_key,
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
        stock_item_key,
        event_date,
        max(sku) as sku,
        max(product_key) as product_key,
        max(location_key) as location_key,
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
    group by stock_item_key, event_date

),

balanced as (

    select
        *,
        sum(net_quantity) over (
            partition by stock_item_key order by event_date asc
            rows between unbounded preceding and current row
        ) as on_hand,
        sum(incoming_quantity) over (
            partition by stock_item_key order by event_date asc
            rows between unbounded preceding and current row
        ) as incoming,
        lead(event_date) over (partition by stock_item_key order by event_date asc) as valid_until
    from changes

),

final as (

    select
        {{ surrogate_key(['stock_item_key', 'event_date']) }} as inventory_level_key,
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
