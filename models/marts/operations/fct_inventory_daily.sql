-- One row per SKU, location and complete day since its first movement.
--
-- A view: the rows of a day on which nothing moved are not stored (see fct_inventory_levels). Filter by
-- SKU or by day; sums over everything and all days are in reporting.
{{ config(materialized='view', meta={'tested': 'weekly'}) }}

with

levels as (

    select * from {{ ref('fct_inventory_levels') }}

),

products as (

    select
        product_key,
        product_id
    from {{ ref('dim_products') }}

),

costs as (

    select
        product_id,
        unit_cost,
        {{ local_date('valid_from') }} as valid_from,
        {{ local_date('valid_until') }} as valid_until
    from {{ ref('int_product_costs') }}

),

dates as (

    select date_day
    from {{ ref('dim_date') }}
    where is_complete

),

daily as (

    select
        levels.*,
        dates.date_day as inventory_date,
        dates.date_day = levels.valid_from as is_first_day
    from levels
    inner join dates
        on
            dates.date_day >= levels.valid_from
            -- one comparison, which an index answers
            and dates.date_day < coalesce(levels.valid_until, cast('9999-12-31' as date))

),

final as (

    select
        daily.stock_item_key,
        daily.sku,
        daily.product_key,
        daily.location_key,
        daily.on_hand,
        daily.available,
        daily.incoming,
        cast(case when daily.is_first_day then daily.received_quantity else 0 end as {{ type_money() }})
            as received_quantity,
        cast(case when daily.is_first_day then daily.sold_quantity else 0 end as {{ type_money() }}) as sold_quantity,
        cast(case when daily.is_first_day then daily.returned_quantity else 0 end as {{ type_money() }})
            as returned_quantity,
        cast(
            case
                when daily.is_first_day
                    then
                        daily.adjusted_quantity - daily.damaged_quantity + daily.transferred_quantity
                        + daily.other_quantity
                else 0
            end as {{ type_money() }}
        ) as corrected_quantity,
        cast(costs.unit_cost as {{ type_money() }}) as unit_cost_amount,
        cast({{ round_money('daily.on_hand * costs.unit_cost') }} as {{ type_money() }}) as value_amount,
        daily.is_stockout,
        daily.is_stockout and not (daily.is_first_day and daily.sold_quantity > 0) as is_unsellable,
        daily.is_negative,
        daily.is_receipt_missing,
        daily.inventory_date
    from daily
    left join products
        on daily.product_key = products.product_key
    left join costs
        on
            products.product_id = costs.product_id
            and daily.inventory_date >= costs.valid_from
            and (daily.inventory_date < costs.valid_until or costs.valid_until is null)

)

select * from final
