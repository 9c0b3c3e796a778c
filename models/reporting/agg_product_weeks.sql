-- One row per product and ISO week with sales or a stock-out, over the last three years.
--
-- A week without stock shows no demand because nothing could be bought, not because nobody asked. What was
-- sold is divided by the share of the week in which there was stock; a week with too little of it is
-- censored and says nothing. Weeks with neither sale nor stock-out are weeks of no demand; they have no row.
-- Bounded by its window, so it is made anew each time.
{% set history_weeks = var('demand_history_weeks', 156) %}
{% set least_days = var('demand_least_days_in_stock', 2) %}

with

owners as (

    select * from {{ ref('int_skus_owned') }}

),

levels as (

    select * from {{ ref('fct_inventory_levels') }}

),

months as (

    select * from {{ ref('fct_inventory_monthly') }}

),

sold as (

    select * from {{ ref('int_product_weeks_sold') }}

),

bounds as (

    select
        cast({{ dbt.dateadd('week', -history_weeks, dbt.date_trunc('week', as_of_date())) }} as date) as first_week,
        {{ as_of_date() }} as last_date,
        cast({{ dbt.dateadd('day', 1, as_of_date()) }} as date) as end_date

),

weeks as (

    select distinct dates.week_start_date
    from {{ ref('dim_date') }} as dates
    cross join bounds
    where
        dates.date_day >= bounds.first_week
        and dates.date_day <= bounds.last_date

),

sales as (

    select
        sold.product_id,
        sold.week_start_date,
        sold.units
    from sold
    cross join bounds
    where sold.week_start_date >= bounds.first_week

),

-- how much of a product's demand a SKU and location serve
stock_items as (

    select
        months.stock_item_key,
        owners.product_id,
        min(months.first_event_date) as first_date,
        sum(case when months.month_start_date >= bounds.first_week then months.sold_quantity else 0 end) as weight
    from months
    inner join owners
        on months.product_key = owners.product_key
    cross join bounds
    group by months.stock_item_key, owners.product_id

),

-- a day that sold out was in stock for a part of it; below zero nobody knows what was there
outages as (

    select
        levels.stock_item_key,
        stock_items.product_id,
        stock_items.weight,
        case
            when levels.sold_quantity > 0 then {{ dbt.dateadd('day', 1, 'levels.valid_from') }}
            else levels.valid_from
        end as out_from,
        least(coalesce(levels.valid_until, bounds.end_date), bounds.end_date) as out_until
    from levels
    inner join stock_items
        on levels.stock_item_key = stock_items.stock_item_key
    cross join bounds
    where
        levels.is_stockout
        and not levels.is_negative
        and stock_items.weight > 0
        and (levels.valid_until > bounds.first_week or levels.valid_until is null)

),

outage_weeks as (

    select
        outages.product_id,
        weeks.week_start_date,
        sum(
            outages.weight * {{ dbt.datediff(
                'greatest(cast(outages.out_from as date), weeks.week_start_date)',
                'least(outages.out_until, cast(' ~ dbt.dateadd('day', 7, 'weeks.week_start_date') ~ ' as date))',
                'day'
            ) }}
        ) as weighted_days_out
    from outages
    inner join weeks
        on
            outages.out_until > weeks.week_start_date
            and cast(outages.out_from as date) < {{ dbt.dateadd('day', 7, 'weeks.week_start_date') }}
            and cast(outages.out_from as date) < outages.out_until
    group by outages.product_id, weeks.week_start_date

),

out_shares as (

    select
        outage_weeks.product_id,
        outage_weeks.week_start_date,
        min(outage_weeks.weighted_days_out) / sum(
            stock_items.weight * {{ dbt.datediff(
                'greatest(stock_items.first_date, outage_weeks.week_start_date)',
                'least(bounds.end_date, cast(' ~ dbt.dateadd('day', 7, 'outage_weeks.week_start_date') ~ ' as date))',
                'day'
            ) }}
        ) as out_of_stock_share
    from outage_weeks
    cross join bounds
    inner join stock_items
        on
            outage_weeks.product_id = stock_items.product_id
            and stock_items.weight > 0
            and stock_items.first_date < {{ dbt.dateadd('day', 7, 'outage_weeks.week_start_date') }}
    group by outage_weeks.product_id, outage_weeks.week_start_date

),

joined as (

    select
        coalesce(sales.product_id, out_shares.product_id) as product_id,
        coalesce(sales.week_start_date, out_shares.week_start_date) as week_start_date,
        coalesce(sales.units, 0) as units,
        coalesce(out_shares.out_of_stock_share, 0) as out_of_stock_share
    from sales
    full outer join out_shares
        on
            sales.product_id = out_shares.product_id
            and sales.week_start_date = out_shares.week_start_date

),

final as (

    select
        {{ surrogate_key(['joined.product_id', 'joined.week_start_date']) }} as product_week_key,
        joined.product_id,
        cast(joined.units as {{ type_money() }}) as units,
        cast(
            case
                when 1 - joined.out_of_stock_share >= {{ least_days }} / 7.0
                    then joined.units / (1 - joined.out_of_stock_share)
            end as {{ type_money() }}
        ) as corrected_units,
        cast(joined.out_of_stock_share as numeric(20, 6)) as out_of_stock_share,
        1 - joined.out_of_stock_share < {{ least_days }} / 7.0 as is_censored,
        {{ dbt.dateadd('day', 7, 'joined.week_start_date') }} <= bounds.end_date as is_complete,
        joined.week_start_date
    from joined
    cross join bounds

)

select * from final
