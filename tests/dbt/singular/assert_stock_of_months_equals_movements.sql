-- What a SKU and location has more at the end of a month than at its beginning is the sum of the month's
-- movements, and the last stretch of the month has what is there at its end.
with

movements as (

    select
        stock_month,
        sum(quantity) as quantity
    from {{ ref('fct_inventory_movements') }}
    where
        is_countable
        and movement_date is not null
        and {{ is_tested('stock_month', 'stock_month') }}
    group by stock_month

),

months as (

    select
        stock_month,
        closing_on_hand,
        closing_on_hand - opening_on_hand as quantity
    from {{ ref('fct_inventory_monthly') }}
    where {{ is_tested('stock_month', 'stock_month') }}

),

levels as (

    select
        stock_month,
        on_hand,
        row_number() over (
            partition by stock_month
            order by valid_from desc nulls last
        ) as level_rank
    from {{ ref('fct_inventory_levels') }}
    where {{ is_tested('stock_month', 'stock_month') }}

)

select
    coalesce(movements.stock_month, months.stock_month) as stock_month,
    movements.quantity,
    months.closing_on_hand,
    levels.on_hand
from movements
full outer join months
    on movements.stock_month = months.stock_month
left join levels
    on
        months.stock_month = levels.stock_month
        and levels.level_rank = 1
where
    coalesce(movements.quantity, 0) <> coalesce(months.quantity, 0)
    or levels.on_hand <> months.closing_on_hand
