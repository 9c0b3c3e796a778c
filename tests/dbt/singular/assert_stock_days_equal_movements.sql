-- What a SKU has on its last day is the sum of all its movements up to it.
with

last_days as (

    select max(date_day) as inventory_date
    from {{ ref('dim_date') }}
    where is_complete

),

days as (

    select
        daily.stock_item_key,
        daily.on_hand
    from {{ ref('fct_inventory_daily') }} as daily
    inner join last_days
        on daily.inventory_date = last_days.inventory_date

),

moved as (

    select
        movements.stock_item_key,
        sum(movements.quantity) as on_hand
    from {{ ref('fct_inventory_movements') }} as movements
    cross join last_days
    where
        movements.is_countable
        and movements.movement_date <= last_days.inventory_date
    group by movements.stock_item_key

)

select days.stock_item_key
from days
inner join moved
    on days.stock_item_key = moved.stock_item_key
where days.on_hand <> moved.on_hand
