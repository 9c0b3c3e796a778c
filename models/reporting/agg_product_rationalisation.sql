-- One row per product on sale: the reasons that speak for taking it off, and what that would set free.
--
-- A signal that cannot be judged (no cost, no history) is null and speaks for nothing.
with

portfolio as (

    select * from {{ ref('agg_product_portfolio') }}
    where is_latest

),

performance as (

    select * from {{ ref('agg_product_performance') }}

),

health as (

    select * from {{ ref('agg_inventory_health') }}

),

-- twelve months up to the portfolio's
yearly as (

    select
        performance.product_id,
        sum(performance.net_sales_amount) as net_sales_amount,
        sum(performance.cogs_amount) as cogs_amount,
        sum(performance.units) as units,
        sum(performance.cohort_units) as cohort_units,
        sum(performance.cohort_returned_units) as cohort_returned_units,
        sum(performance.cohort_demand_amount) as demand_amount,
        sum(performance.cohort_demand_amount * coalesce(performance.cost_coverage, 0)) as costed_demand_amount
    from performance
    inner join portfolio
        on
            performance.product_id = portfolio.product_id
            and performance.month_start_date <= portfolio.month_start_date
            and performance.month_start_date > {{ dbt.dateadd('month', -12, 'portfolio.month_start_date') }}
    group by performance.product_id

),

stock as (

    select
        product_id,
        sum(on_hand) as on_hand,
        sum(value_amount) as value_amount,
        count(*) - count(value_amount) as unvalued_items,
        min(case when is_dead_stock then 1 else 0 end) = 1 as is_dead_stock
    from health
    where on_hand <> 0
    group by product_id

),

judged as (

    select
        portfolio.product_id,
        portfolio.product_name,
        portfolio.category,
        portfolio.abc_class,
        portfolio.xyz_class,
        portfolio.bcg_quadrant,
        portfolio.is_active,
        portfolio.growth,
        portfolio.category_growth,
        portfolio.days_on_sale,
        portfolio.month_start_date,
        coalesce(yearly.net_sales_amount, 0) as net_sales_amount,
        coalesce(yearly.units, 0) as units,
        case
            when
                yearly.costed_demand_amount >= {{ var('least_cost_coverage') }} * yearly.demand_amount
                and yearly.net_sales_amount > 0
                then (yearly.net_sales_amount - yearly.cogs_amount) / yearly.net_sales_amount
        end as gross_margin,
        case
            when yearly.cohort_units >= {{ var('rationalise_least_units', 20) }}
                then yearly.cohort_returned_units / yearly.cohort_units
        end as return_rate,
        coalesce(stock.on_hand, 0) as on_hand,
        case when coalesce(stock.unvalued_items, 0) = 0 then coalesce(stock.value_amount, 0) end as stock_value_amount,
        stock.is_dead_stock
    from portfolio
    left join yearly
        on portfolio.product_id = yearly.product_id
    left join stock
        on portfolio.product_id = stock.product_id

),

signalled as (

    select
        *,
        abc_class = 'C' as is_tail,
        growth < 0 and growth < category_growth as is_declining,
        gross_margin < {{ var('rationalise_least_margin', 0.10) }} as is_low_margin,
        return_rate > {{ var('rationalise_return_rate', 0.30) }} as is_often_returned
    from judged

),

counted as (

    select
        *,
        case when is_tail then 1 else 0 end
        + case when is_declining then 1 else 0 end
        + case when is_low_margin then 1 else 0 end
        + case when is_often_returned then 1 else 0 end
        + case when is_dead_stock then 1 else 0 end as signal_count
    from signalled

),

final as (

    select
        product_id,
        product_name,
        category,
        abc_class,
        xyz_class,
        bcg_quadrant,
        case
            when bcg_quadrant = 'New' then 'too_young'
            when not is_active then 'sell_off'
            when signal_count >= 3 then 'cut'
            when signal_count = 2 then 'review'
            else 'keep'
        end as recommendation,
        cast(signal_count as {{ dbt.type_int() }}) as signal_count,
        cast(days_on_sale as {{ dbt.type_int() }}) as days_on_sale,
        cast(units as {{ type_money() }}) as units,
        cast(net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(gross_margin as numeric(20, 6)) as gross_margin,
        cast(return_rate as numeric(20, 6)) as return_rate,
        cast(growth as numeric(20, 6)) as growth,
        cast(on_hand as {{ type_money() }}) as on_hand,
        cast(stock_value_amount as {{ type_money() }}) as stock_value_amount,
        is_tail,
        is_declining,
        is_low_margin,
        is_often_returned,
        is_dead_stock,
        is_active,
        month_start_date
    from counted

)

select * from final
