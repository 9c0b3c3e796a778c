-- One row per SKU and stretch of days over which the stock of all places together stayed as it was.
--
-- A day on which no place had any left hides demand: what could not be bought was not sold. Where the books of
-- a place stand below zero nobody knows what was there.
--
-- A view: each change of the balance of one place moves on to all later stretches of the SKU, and forecasts alone
-- read it, when they are learned.
{{ config(materialized='view', meta={'tested': 'weekly'}) }}

with

levels as (

    select * from {{ ref('fct_inventory_levels') }}
    where
        product_key <> '-1'
        and valid_from <= {{ as_of_date() }}

),

changes as (

    select
        product_key,
        valid_from,
        available
        - coalesce(lag(available) over (
            partition by stock_item_key order by valid_from asc nulls last
        ), 0) as available_change,
        incoming
        - coalesce(lag(incoming) over (
            partition by stock_item_key order by valid_from asc nulls last
        ), 0) as incoming_change,
        case when is_negative then 1 else 0 end
        - coalesce(lag(case when is_negative then 1 else 0 end) over (
            partition by stock_item_key order by valid_from asc nulls last
        ), 0) as negative_change
    from levels

),

daily as (

    select
        product_key,
        valid_from,
        sum(available_change) as available_change,
        sum(incoming_change) as incoming_change,
        sum(negative_change) as negative_change
    from changes
    group by product_key, valid_from

),

running as (

    select
        product_key,
        sum(available_change) over (
            partition by product_key order by valid_from asc nulls last
            rows between unbounded preceding and current row
        ) as available,
        sum(incoming_change) over (
            partition by product_key order by valid_from asc nulls last
            rows between unbounded preceding and current row
        ) as incoming,
        sum(negative_change) over (
            partition by product_key order by valid_from asc nulls last
            rows between unbounded preceding and current row
        ) as negative_places,
        valid_from,
        lead(valid_from) over (partition by product_key order by valid_from asc nulls last) as valid_until
    from daily

),

final as (

    select
        product_key,
        cast(available as {{ type_money() }}) as available,
        cast(greatest(incoming, 0) as {{ type_money() }}) as incoming,
        negative_places > 0 as is_unknown,
        valid_from,
        valid_until
    from running

)

select * from final
