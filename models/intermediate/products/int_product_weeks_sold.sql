-- One row per product and ISO week in which it was sold, up to the last complete day: how many units.
--
-- Apart from agg_product_weeks, which is made anew each time: what a week's stock-outs hid is weighed by all of
-- the window's sales, what was sold in it is not.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_id', 'week_start_date'],
    meta={
        'entity': 'week',
        'entity_column': 'week_start_date',
        'touched_also': [
            'select {{ dbt.date_trunc("week", "cast(days.entity_id as date)") }} from {{ touched("day") }} as days',
            'select {{ dbt.date_trunc("week", "order_date") }} from {{ ref("fct_order_items") }}'
            ' where product_key in {{ touched("sku_owner") }}',
            'select {{ dbt.date_trunc("week", "order_date") }} from {{ ref("fct_order_items") }}'
            ' where order_date > {{ last_day_built("last_order_date") }} and order_date <= {{ as_of_date() }}',
            'select week_start_date from {{ this }} where last_order_date > {{ as_of_date() }}',
        ],
    },
    indexes=[{'columns': ['week_start_date']}],
) }}

with

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'
        and order_date <= {{ as_of_date() }}
        and {{ is_touched('order_date', by_day=true) }}

),

owners as (

    select * from {{ ref('int_skus_owned') }}

),

final as (

    select
        owners.product_id,
        cast(sum(coalesce(items.quantity, 0)) as {{ type_money() }}) as units,
        cast({{ dbt.date_trunc('week', 'items.order_date') }} as date) as week_start_date,
        max(items.order_date) as last_order_date
    from items
    inner join owners
        on items.product_key = owners.product_key
    group by owners.product_id, cast({{ dbt.date_trunc('week', 'items.order_date') }} as date)

)

select * from final
