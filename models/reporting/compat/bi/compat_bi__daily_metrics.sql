-- One row per day: the figures of all stores together.
{{ config(alias='daily_metrics') }}

with

daily as (

    select * from {{ ref('agg_daily_metrics') }}

),

days as (

    select
        metric_date,
        sum(total_sales_amount) as revenue,
        sum(net_sales_amount) as net_revenue,
        sum(discount_amount) as discounts,
        sum(returns_amount) as refunds,
        sum(total_cost_amount) as total_cost,
        sum(net_profit_amount) as profit,
        sum(marketing_spend_amount) as marketing_spend,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount,
        sum(orders) as orders,
        sum(new_customers) as new_customers,
        sum(units) as units
    from daily
    group by metric_date

),

final as (

    select
        cast(revenue as {{ type_money() }}) as revenue,
        cast(net_revenue as {{ type_money() }}) as net_revenue,
        cast(discounts as {{ type_money() }}) as discounts,
        cast(refunds as {{ type_money() }}) as refunds,
        cast(total_cost as {{ type_money() }}) as total_cost,
        cast(marketing_spend as {{ type_money() }}) as marketing_spend,
        cast(
            case when costed_demand_amount >= {{ var('least_cost_coverage') }} * demand_amount then profit end
            as {{ type_money() }}
        ) as profit,
        cast(case when orders > 0 then demand_amount / orders end as {{ type_money() }}) as average_order_value,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(new_customers as {{ dbt.type_int() }}) as new_customers,
        cast(units as {{ type_money() }}) as units,
        metric_date
    from days

)

select * from final
