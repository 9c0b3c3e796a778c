-- What a SKU has on its last day is the sum of all its movements up to it.
{{ config(meta={'tested': 'weekly'}) }}
{% set last_day -%}
    -- not a join: a day that is known before the view is read is the only one that it computes
    (
        select max(date_day)
        from {{ ref('dim_date') }}
        where is_complete
    )
{%- endset %}

with

days as (

    select
        stock_item_key,
        on_hand
    from {{ ref('fct_inventory_daily') }}
    where inventory_date = {{ last_day }}

),

moved as (

    select
        stock_item_key,
        sum(quantity) as on_hand
    from {{ ref('fct_inventory_movements') }}
    where
        is_countable
        and movement_date <= {{ last_day }}
    group by stock_item_key

)

select days.stock_item_key
from days
inner join moved
    on days.stock_item_key = moved.stock_item_key
where days.on_hand <> moved.on_hand
