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

months as (

    select * from {{ ref('int_stock_months') }}
    where {{ is_touched('stock_item_key') }}

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
