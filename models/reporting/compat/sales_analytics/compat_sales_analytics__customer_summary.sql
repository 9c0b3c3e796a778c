-- One row per person: orders, spending, average and last order.
{{ config(alias='customer_summary') }}

with

customers as (

    select * from {{ ref('dim_customers') }}
    where customer_key <> '-1'

),

orders as (

    select * from {{ ref('fct_orders') }}
    where is_countable

),

sales as (

    select
        customer_key,
        count(*) as orders,
        sum(gross_sales_amount - discount_amount) as demand_amount,
        sum(total_sales_amount) as total_sales_amount,
        sum(units) as units,
        min(order_date) as first_order_date,
        max(order_date) as last_order_date
    from orders
    group by customer_key

),

final as (

    select
        customers.customer_key as customer_id,
        customers.country,
        customers.shop_segment as segment,
        cast(coalesce(sales.orders, 0) as {{ dbt.type_int() }}) as total_orders,
        cast(coalesce(sales.total_sales_amount, 0) as {{ type_money() }}) as total_spent,
        cast(case when sales.orders > 0 then sales.demand_amount / sales.orders end as {{ type_money() }}) as avg_order_value,
        cast({{ dbt.datediff('sales.last_order_date', as_of_date(), 'day') }} as {{ dbt.type_int() }}) as days_since_last_order,
        sales.first_order_date,
        sales.last_order_date
    from customers
    left join sales
        on customers.customer_key = sales.customer_key

)

select * from final
