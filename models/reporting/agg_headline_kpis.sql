-- One row: the shop's headline numbers over all complete days, and what they are counted from.
with

daily as (

    select * from {{ ref('agg_daily_metrics') }}
    where is_complete

),

orders as (

    select * from {{ ref('fct_orders') }}
    where
        is_countable
        and order_date <= {{ as_of_date() }}

),

bounds as (

    select
        {{ as_of_date() }} as as_of_date,
        -- the last calendar month that is over
        case
            when {{ dbt.dateadd('day', 1, as_of_date()) }}
                = {{ dbt.date_trunc('month', dbt.dateadd('day', 1, as_of_date())) }}
                then {{ dbt.date_trunc('month', as_of_date()) }}
            else {{ dbt.dateadd('month', -1, dbt.date_trunc('month', as_of_date())) }}
        end as last_month_start

),

by_date as (

    select
        metric_date,
        sum(total_sales_amount) as total_sales_amount
    from daily
    group by metric_date

),

best_dates as (

    select
        metric_date,
        total_sales_amount,
        row_number() over (order by total_sales_amount desc nulls last, metric_date asc nulls last) as date_rank
    from by_date

),

-- means, not sums: a sum favours the weekdays that occur once more
by_weekday as (

    select
        dates.iso_day_of_week,
        dates.day_name,
        avg(by_date.total_sales_amount) as mean_total_sales_amount
    from by_date
    inner join {{ ref('dim_date') }} as dates
        on by_date.metric_date = dates.date_day
    group by dates.iso_day_of_week, dates.day_name

),

best_weekdays as (

    select
        day_name,
        mean_total_sales_amount,
        row_number() over (order by mean_total_sales_amount desc nulls last, iso_day_of_week asc) as weekday_rank
    from by_weekday

),

totals as (

    select
        min(metric_date) as first_date,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(discount_amount) as discount_amount,
        sum(returns_amount) as returns_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(shipping_amount) as shipping_amount,
        sum(tax_amount) as tax_amount,
        sum(total_sales_amount) as total_sales_amount,
        sum(cogs_amount) as cogs_amount,
        sum(variable_cost_amount) as variable_cost_amount,
        sum(marketing_spend_amount) as marketing_spend_amount,
        sum(overhead_amount) as overhead_amount,
        sum(total_cost_amount) as total_cost_amount,
        sum(net_profit_amount) as net_profit_amount,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount,
        sum(orders) as orders,
        sum(units) as units,
        sum(anonymous_orders) as anonymous_orders,
        sum(case when metric_date > {{ dbt.dateadd('year', -1, as_of_date()) }} then total_sales_amount else 0 end)
            as total_sales_last_12_months
    from daily

),

months as (

    select
        sum(daily.orders) as orders_last_month,
        sum(daily.total_sales_amount) as total_sales_last_month,
        sum(daily.new_customers) as new_customers_last_month
    from daily
    cross join bounds
    where
        daily.metric_date >= bounds.last_month_start
        and daily.metric_date < {{ dbt.dateadd('month', 1, 'bounds.last_month_start') }}

),

-- an order whose goods all came back is no repeat purchase
people as (

    select
        customer_key,
        count(*) as orders,
        count(
            case when gross_sales_amount - discount_amount - returns_amount > 0 then 1 end
        ) as kept_orders
    from orders
    where is_new_customer is not null
    group by customer_key

),

customers as (

    select
        count(*) as customers,
        count(case when kept_orders >= 1 then 1 end) as customers_with_kept_order,
        count(case when kept_orders >= 2 then 1 end) as repeat_customers
    from people

),

final as (

    select
        bounds.as_of_date,
        totals.first_date,
        cast(bounds.last_month_start as date) as last_month_start,
        {{ store_currency() }} as currency,
        cast(totals.gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(totals.discount_amount as {{ type_money() }}) as discount_amount,
        cast(totals.returns_amount as {{ type_money() }}) as returns_amount,
        cast(totals.net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(totals.shipping_amount as {{ type_money() }}) as shipping_amount,
        cast(totals.tax_amount as {{ type_money() }}) as tax_amount,
        cast(totals.total_sales_amount as {{ type_money() }}) as total_sales_amount,
        cast(totals.total_sales_last_12_months as {{ type_money() }}) as total_sales_last_12_months,
        cast(months.total_sales_last_month as {{ type_money() }}) as total_sales_last_month,
        cast(totals.cogs_amount as {{ type_money() }}) as cogs_amount,
        cast(totals.variable_cost_amount as {{ type_money() }}) as variable_cost_amount,
        cast(totals.marketing_spend_amount as {{ type_money() }}) as marketing_spend_amount,
        cast(totals.overhead_amount as {{ type_money() }}) as overhead_amount,
        cast(totals.total_cost_amount as {{ type_money() }}) as total_cost_amount,
        -- a profit is told only where most costs are known: an unknown cost is not a cost of 0
        cast(
            case
                when totals.costed_demand_amount >= {{ var('least_cost_coverage') }} * totals.demand_amount
                    then totals.net_profit_amount
            end as {{ type_money() }}
        ) as net_profit_amount,
        cast(
            case when totals.demand_amount <> 0 then totals.costed_demand_amount / totals.demand_amount end
            as numeric(9, 6)
        ) as cost_coverage,
        cast(
            case
                when totals.orders > 0 then round((totals.gross_sales_amount - totals.discount_amount) / totals.orders, 2)
            end as {{ type_money() }}
        ) as average_order_value,
        cast(totals.orders as {{ dbt.type_int() }}) as orders,
        cast(months.orders_last_month as {{ dbt.type_int() }}) as orders_last_month,
        cast(totals.anonymous_orders as {{ dbt.type_int() }}) as anonymous_orders,
        cast(totals.units as {{ type_money() }}) as units,
        cast(customers.customers as {{ dbt.type_int() }}) as customers,
        cast(months.new_customers_last_month as {{ dbt.type_int() }}) as new_customers_last_month,
        cast(
            case
                when customers.customers_with_kept_order > 0
                    then cast(customers.repeat_customers as numeric(20, 6)) / customers.customers_with_kept_order
            end as numeric(9, 6)
        ) as repeat_purchase_rate,
        best_dates.metric_date as best_date,
        cast(best_dates.total_sales_amount as {{ type_money() }}) as best_date_total_sales_amount,
        best_weekdays.day_name as best_weekday,
        cast(best_weekdays.mean_total_sales_amount as {{ type_money() }}) as best_weekday_mean_total_sales_amount
    from bounds
    cross join totals
    cross join months
    cross join customers
    left join best_dates
        on best_dates.date_rank = 1
    left join best_weekdays
        on best_weekdays.weekday_rank = 1
    -- an empty warehouse has no headline
    where bounds.as_of_date is not null

)

select * from final
