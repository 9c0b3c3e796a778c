-- One row per day: sales of all stores together.
{{ config(alias='agg_daily_sales') }}

with

daily as (

    select * from {{ ref('agg_daily_metrics') }}

),

final as (

    select
        cast(sum(orders) as {{ dbt.type_int() }}) as total_transactions,
        cast(sum(units) as {{ type_money() }}) as total_quantity,
        cast(sum(total_sales_amount) as {{ type_money() }}) as total_revenue,
        cast(sum(net_sales_amount) as {{ type_money() }}) as net_revenue,
        cast(sum(discount_amount) as {{ type_money() }}) as total_discount,
        cast(sum(gross_profit_amount) as {{ type_money() }}) as gross_profit,
        cast(
            case when sum(orders) > 0 then sum(demand_amount) / sum(orders) end as {{ type_money() }}
        ) as avg_transaction_value,
        cast(sum(new_customers) as {{ dbt.type_int() }}) as new_customers,
        metric_date as sale_date
    from daily
    group by metric_date

)

select * from final
