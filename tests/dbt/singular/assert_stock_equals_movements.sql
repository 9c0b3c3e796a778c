-- The stock at the last stretch of each SKU and location is the sum of all its movements.
-- Once a week: each build tests the months that were touched.
{{ config(meta={'tested': 'weekly'}) }}
with

movements as (

    select
        stock_item_key,
        sum(quantity) as quantity
    from {{ ref('fct_inventory_movements') }}
    where
        is_countable
        and movement_date is not null
    group by stock_item_key

),

levels as (

    select
        stock_item_key,
        on_hand
    from {{ ref('fct_inventory_levels') }}
    where valid_until is null

)

select
    coalesce(movements.stock_item_key, levels.stock_item_key) as stock_item_key,
    movements.quantity,
    levels.on_hand
from movements
full outer join levels
    on movements.stock_item_key = levels.stock_item_key
where coalesce(movements.quantity, 0) <> coalesce(levels.on_hand, 0)
