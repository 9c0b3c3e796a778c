-- One row per SKU: sold, revenue and profit.
{{ config(alias='product_performance') }}

with

items as (

    select * from {{ ref('fct_order_items') }}
    where is_countable and measure in ('sale', 'return')

),

products as (

    select * from {{ ref('dim_products') }}

),

sales as (

    select
        product_key,
        sum(quantity) as quantity_sold,
        sum(returned_quantity) as quantity_returned,
        count(distinct order_id) as orders,
        sum(gross_sales_amount - discount_amount) as demand_amount,
        sum(net_sales_amount) as revenue,
        sum(case when unit_cost_amount is not null then net_sales_amount - cogs_amount end) as profit,
        sum(case when unit_cost_amount is not null then gross_sales_amount - discount_amount else 0 end)
            as costed_demand_amount,
        max(order_date) as last_sold_date
    from items
    group by product_key

),

final as (

    select
        products.product_key as product_id,
        products.product_name,
        products.category,
        products.brand,
        cast(coalesce(sales.quantity_sold, 0) as {{ type_money() }}) as total_sold,
        cast(coalesce(sales.quantity_returned, 0) as {{ type_money() }}) as total_returned,
        cast(coalesce(sales.revenue, 0) as {{ type_money() }}) as total_revenue,
        -- told only where most costs are known, each as of its sale
        cast(
            case
                when sales.costed_demand_amount >= {{ var('least_cost_coverage') }} * sales.demand_amount then sales.profit
            end as {{ type_money() }}
        ) as total_profit,
        cast(coalesce(sales.orders, 0) as {{ dbt.type_int() }}) as order_count,
        sales.last_sold_date
    from products
    left join sales
        on products.product_key = sales.product_key

)

select * from final
