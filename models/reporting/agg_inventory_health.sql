-- One row per SKU and location: how long the stock lasts, what it earns, what to order and what to get rid of.
--
-- As of the last complete day and over windows that end there, so the table is made anew each time, from
-- the stretches that reach into the windows. Demand is what was sold on days with stock; what was lost on
-- the others is an estimate and says so. While the books stand below zero nobody knows what was there:
-- those days are in no rate. An unknown cost gives null, never 0.
{% set velocity_days = var('velocity_days', 90) %}
{% set turnover_days = var('turnover_days', 365) %}
{% set dead_days = var('dead_stock_days', 180) %}

with

levels as (

    select * from {{ ref('fct_inventory_levels') }}

),

sales as (

    select * from {{ ref('int_stock_sales') }}

),

skus as (

    select * from {{ ref('int_product_skus') }}

),

portfolio as (

    select * from {{ ref('agg_product_portfolio') }}
    where is_latest

),

costs as (

    select
        product_id,
        unit_cost,
        {{ local_date('valid_from') }} as valid_from,
        {{ local_date('valid_until') }} as valid_until
    from {{ ref('int_product_costs') }}

),

bounds as (

    select
        {{ as_of_date() }} as last_date,
        cast({{ dbt.dateadd('day', 1, as_of_date()) }} as date) as end_date,
        cast({{ dbt.dateadd('day', 1 - velocity_days, as_of_date()) }} as date) as velocity_from,
        cast({{ dbt.dateadd('day', 1 - turnover_days, as_of_date()) }} as date) as turnover_from,
        cast({{ dbt.dateadd('day', 1 - dead_days, as_of_date()) }} as date) as dead_from

),

stretches as (

    select
        levels.*,
        skus.product_id,
        bounds.end_date,
        bounds.velocity_from,
        bounds.turnover_from,
        bounds.dead_from,
        greatest(levels.valid_from, bounds.turnover_from) as days_from,
        least(coalesce(levels.valid_until, bounds.end_date), bounds.end_date) as days_until,
        levels.valid_from >= bounds.velocity_from and not levels.is_negative as is_velocity_event,
        levels.valid_from >= bounds.turnover_from as is_turnover_event,
        levels.valid_from >= bounds.turnover_from and not levels.is_negative as is_known_turnover_event,
        -- a day that sold out was in stock for a part of it
        case when levels.is_stockout and levels.sold_quantity > 0 then 1 else 0 end as sold_out_day
    from levels
    cross join bounds
    left join skus
        on levels.product_key = skus.product_key
    where
        levels.valid_from < bounds.end_date
        and (levels.valid_until > bounds.turnover_from or levels.valid_until is null)

),

measured as (

    select
        *,
        {{ dbt.datediff('days_from', 'days_until', 'day') }} as turnover_window_days,
        case
            when is_negative then 0
            else greatest({{ dbt.datediff('greatest(days_from, velocity_from)', 'days_until', 'day') }}, 0)
        end as velocity_window_days,
        case
            when is_negative then 0
            else {{ dbt.datediff('days_from', 'days_until', 'day') }}
        end as known_window_days
    from stretches

),

windows as (

    select
        stock_item_key,
        sum(turnover_window_days) as turnover_tracked_days,
        sum(velocity_window_days) as tracked_days,
        sum(
            case when not is_stockout then velocity_window_days when is_velocity_event then sold_out_day else 0 end
        ) as in_stock_days,
        sum(
            case when not is_stockout then known_window_days when is_known_turnover_event then sold_out_day else 0 end
        ) as turnover_in_stock_days,
        sum(case when is_velocity_event then sold_quantity else 0 end) as sold_units,
        sum(case when is_velocity_event then sold_quantity * sold_quantity else 0 end) as sold_square_sum,
        sum(case when is_known_turnover_event then sold_quantity else 0 end) as turnover_sold_units,
        sum(case when is_known_turnover_event then sold_quantity * sold_quantity else 0 end)
            as turnover_sold_square_sum,
        sum(case when valid_from >= velocity_from then sold_quantity else 0 end) as all_sold_units,
        sum(case when valid_from >= velocity_from then received_quantity else 0 end) as received_units,
        -- what was there before the window's first change
        sum(
            case when valid_from < velocity_from and days_until >= velocity_from then on_hand else 0 end
        ) as opening_units,
        sum(case when valid_from >= dead_from then sold_quantity else 0 end) as recent_sold_units,
        max(case when sold_quantity > 0 and is_turnover_event then valid_from end) as last_sold_date,
        max(case when received_quantity > 0 and is_turnover_event then valid_from end) as last_received_date,
        max(case when is_negative and is_receipt_missing then 1 else 0 end) as receipt_missing_count,
        max(case when is_receipt_missing then -on_hand end) as missing_units,
        {% for days in [90, 180, 365] -%}
        sum(
            case
                when valid_from > {{ dbt.dateadd('day', -days - 1, 'end_date') }}
                    then
                        received_quantity + returned_quantity + greatest(adjusted_quantity, 0)
                        + greatest(transferred_quantity, 0)
                else 0
            end
        ) as inflow_{{ days }}d{{ ',' if not loop.last }}
        {% endfor %}
    from measured
    group by stock_item_key

),

-- value of the average day: each stretch at the cost of its days
valued as (

    select
        measured.stock_item_key,
        sum(
            measured.on_hand * costs.unit_cost * {{ dbt.datediff(
                'greatest(measured.days_from, costs.valid_from)',
                'least(measured.days_until, coalesce(costs.valid_until, measured.days_until))',
                'day'
            ) }}
        ) as value_days,
        sum({{ dbt.datediff(
            'greatest(measured.days_from, costs.valid_from)',
            'least(measured.days_until, coalesce(costs.valid_until, measured.days_until))',
            'day'
        ) }}) as valued_days
    from measured
    inner join costs
        on
            measured.product_id = costs.product_id
            and costs.valid_from < measured.days_until
            and (costs.valid_until > measured.days_from or costs.valid_until is null)
            and (costs.valid_until > costs.valid_from or costs.valid_until is null)
    group by measured.stock_item_key

),

-- what the goods that left here were sold for, at the cost of their sale
earned as (

    select
        sales.stock_item_key,
        sum(sales.demand_amount) as demand_amount,
        sum(sales.units) as demand_units,
        sum(sales.cogs_amount) as cogs_amount,
        sum(sales.gross_profit_amount) as gross_profit_amount,
        sum(sales.uncosted_lines) as uncosted_lines
    from sales
    cross join bounds
    where
        sales.movement_date >= bounds.turnover_from
        and sales.movement_date < bounds.end_date
    group by sales.stock_item_key

),

current_costs as (

    select
        costs.product_id,
        max(costs.unit_cost) as unit_cost
    from costs
    cross join bounds
    where
        costs.valid_from < bounds.end_date
        and (costs.valid_until >= bounds.end_date or costs.valid_until is null)
        and (costs.valid_until > costs.valid_from or costs.valid_until is null)
    group by costs.product_id

),

first_days as (

    select
        stock_item_key,
        min(first_event_date) as first_date
    from {{ ref('fct_inventory_monthly') }}
    group by stock_item_key

),

latest as (

    select *
    from stretches
    where valid_until >= end_date or valid_until is null

),

joined as (

    select
        latest.stock_item_key,
        latest.sku,
        latest.product_key,
        latest.product_id,
        latest.location_key,
        skus.supplier_id,
        coalesce(skus.product_name, latest.sku) as product_name,
        coalesce(skus.category_l1, 'Uncategorised') as category,
        coalesce(skus.status = 'active' and not skus.is_deleted, false) as is_active,
        portfolio.abc_class,
        portfolio.xyz_class,
        latest.on_hand,
        latest.available,
        latest.incoming,
        latest.is_stockout,
        latest.is_negative,
        latest.end_date,
        latest.dead_from,
        first_days.first_date,
        windows.tracked_days,
        windows.in_stock_days,
        windows.sold_units,
        windows.all_sold_units,
        windows.received_units,
        windows.opening_units,
        windows.recent_sold_units,
        windows.turnover_tracked_days,
        windows.last_sold_date,
        windows.last_received_date,
        windows.receipt_missing_count,
        windows.missing_units,
        windows.inflow_90d,
        windows.inflow_180d,
        windows.inflow_365d,
        coalesce(skus.lead_time_days, {{ var('default_lead_time_days') }}) as lead_time_days,
        greatest(coalesce(skus.minimum_order_quantity, 1), 1) as minimum_order_quantity,
        current_costs.unit_cost,
        case when earned.demand_units > 0 then earned.demand_amount / earned.demand_units end as selling_price,
        case when coalesce(earned.uncosted_lines, 0) = 0 then earned.cogs_amount end as cogs_amount,
        case when coalesce(earned.uncosted_lines, 0) = 0 then earned.gross_profit_amount end as gross_profit_amount,
        -- only where the cost of every day is known
        case
            when valued.valued_days = windows.turnover_tracked_days then valued.value_days / valued.valued_days
        end as average_value,
        -- out of stock for the whole window: what it sold in the longer one
        case
            when windows.in_stock_days > 0 then windows.sold_units * 1.0 / windows.in_stock_days
            when windows.turnover_in_stock_days > 0
                then windows.turnover_sold_units * 1.0 / windows.turnover_in_stock_days
        end as velocity,
        case
            when windows.in_stock_days > 0 then windows.sold_square_sum * 1.0 / windows.in_stock_days
            when windows.turnover_in_stock_days > 0
                then windows.turnover_sold_square_sum * 1.0 / windows.turnover_in_stock_days
        end as mean_square
    from latest
    inner join windows
        on latest.stock_item_key = windows.stock_item_key
    inner join first_days
        on latest.stock_item_key = first_days.stock_item_key
    left join skus
        on latest.product_key = skus.product_key
    left join portfolio
        on latest.product_id = portfolio.product_id
    left join valued
        on latest.stock_item_key = valued.stock_item_key
    left join earned
        on latest.stock_item_key = earned.stock_item_key
    left join current_costs
        on latest.product_id = current_costs.product_id

),

planned as (

    select
        *,
        sqrt(greatest(mean_square - velocity * velocity, 0)) as demand_deviation,
        {{ var('service_level_z', 1.645) }}
        * sqrt(greatest(mean_square - velocity * velocity, 0))
        * sqrt(lead_time_days) as safety_stock,
        tracked_days - in_stock_days as stock_out_days
    from joined

),

reordered as (

    select
        *,
        velocity * lead_time_days + safety_stock as reorder_point,
        velocity * stock_out_days as lost_units,
        available + incoming as stock_position,
        greatest(on_hand - coalesce(velocity, 0) * {{ var('overstock_days', 180) }}, 0) as overstock_units
    from planned

),

final as (

    select
        stock_item_key,
        sku,
        product_key,
        product_id,
        location_key,
        supplier_id,
        product_name,
        category,
        abc_class,
        xyz_class,
        case
            when is_negative then 'negative'
            when coalesce(velocity, 0) = 0 then 'no_demand'
            when available = 0 then 'out_of_stock'
            when stock_position <= reorder_point then 'reorder_now'
            when available > velocity * {{ var('overstock_days', 180) }} then 'overstock'
            else 'healthy'
        end as stock_status,
        cast(on_hand as {{ type_money() }}) as on_hand,
        cast(available as {{ type_money() }}) as available,
        cast(incoming as {{ type_money() }}) as incoming,
        cast(unit_cost as {{ type_money() }}) as unit_cost_amount,
        cast({{ round_money('on_hand * unit_cost') }} as {{ type_money() }}) as value_amount,
        cast(tracked_days as {{ dbt.type_int() }}) as tracked_days,
        cast(in_stock_days as {{ dbt.type_int() }}) as in_stock_days,
        cast(stock_out_days as {{ dbt.type_int() }}) as stock_out_days,
        cast(sold_units as {{ type_money() }}) as sold_units,
        cast(velocity as numeric(20, 6)) as velocity,
        cast(case when velocity > 0 then available / velocity end as numeric(20, 6)) as days_of_cover,
        cast(
            case when tracked_days > 0 then stock_out_days * 1.0 / tracked_days end as numeric(20, 6)
        ) as stock_out_rate,
        cast(lost_units as {{ type_money() }}) as estimated_lost_units,
        cast({{ round_money('lost_units * selling_price') }} as {{ type_money() }}) as estimated_lost_amount,
        cast(
            case when opening_units + received_units > 0 then opening_units + received_units end as {{ type_money() }}
        ) as offered_units,
        cast(case when opening_units + received_units > 0 then all_sold_units end as {{ type_money() }})
            as offered_sold_units,
        cast(
            case when opening_units + received_units > 0 then all_sold_units / (opening_units + received_units) end
            as numeric(20, 6)
        ) as sell_through,
        cast(average_value as {{ type_money() }}) as average_value_amount,
        cast(cogs_amount as {{ type_money() }}) as cogs_amount,
        cast(gross_profit_amount as {{ type_money() }}) as gross_profit_amount,
        -- of a year, also where the item is younger than that
        cast(
            case
                when average_value > 0 then cogs_amount / average_value * 365 / turnover_tracked_days
            end as numeric(20, 6)
        ) as inventory_turnover,
        cast(
            case
                when average_value > 0 and cogs_amount > 0
                    then average_value * turnover_tracked_days / cogs_amount
            end as numeric(20, 6)
        ) as days_inventory_outstanding,
        cast(
            case
                when average_value > 0 then gross_profit_amount / average_value * 365 / turnover_tracked_days
            end as numeric(20, 6)
        ) as gmroi,
        cast(lead_time_days as {{ dbt.type_int() }}) as lead_time_days,
        cast(minimum_order_quantity as {{ type_money() }}) as minimum_order_quantity,
        cast(demand_deviation as numeric(20, 6)) as daily_demand_deviation,
        cast(safety_stock as {{ type_money() }}) as safety_stock,
        cast(reorder_point as {{ type_money() }}) as reorder_point,
        cast(
            case
                when is_active and velocity > 0
                    then {{ dbt.dateadd(
                        'day',
                        'cast(least(floor(greatest(stock_position - reorder_point, 0) / velocity), 3650) as integer)',
                        as_of_date()
                    ) }}
            end as date
        ) as order_by_date,
        cast(
            case
                when is_active and velocity > 0 and stock_position <= reorder_point
                    then
                        ceil(
                            (reorder_point + velocity * {{ var('reorder_cover_days', 30) }} - stock_position)
                            / minimum_order_quantity
                        ) * minimum_order_quantity
                else 0
            end as {{ type_money() }}
        ) as suggested_order_units,
        {% for name, upper, lower in [
            ('aged_0_90_units', 'least(greatest(on_hand, 0), inflow_90d)', '0'),
            ('aged_91_180_units', 'least(greatest(on_hand, 0), inflow_180d)', 'least(greatest(on_hand, 0), inflow_90d)'),
            ('aged_181_365_units', 'least(greatest(on_hand, 0), inflow_365d)', 'least(greatest(on_hand, 0), inflow_180d)'),
            ('aged_over_365_units', 'greatest(on_hand, 0)', 'least(greatest(on_hand, 0), inflow_365d)'),
        ] -%}
        cast({{ upper }} - {{ lower }} as {{ type_money() }}) as {{ name }},
        {% endfor -%}
        cast(overstock_units as {{ type_money() }}) as overstock_units,
        cast({{ round_money('overstock_units * unit_cost') }} as {{ type_money() }}) as overstock_amount,
        cast(missing_units as {{ type_money() }}) as missing_receipt_units,
        on_hand > 0 and recent_sold_units <= 0 and first_date < dead_from as is_dead_stock,
        is_stockout,
        is_negative,
        receipt_missing_count > 0 as is_receipt_missing,
        is_active,
        coalesce(velocity, 0) = 0 as has_no_demand,
        first_date,
        last_received_date,
        last_sold_date,
        {{ as_of_date() }} as as_of_date
    from reordered

)

select * from final
