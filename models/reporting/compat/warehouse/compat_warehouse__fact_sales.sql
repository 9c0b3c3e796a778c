-- One row per countable order line of goods.
{{ config(alias='fact_sales') }}

with

items as (

    select * from {{ ref('fct_order_items') }}
    where is_countable and measure in ('sale', 'return')

),

orders as (

    select * from {{ ref('fct_orders') }}

),

dates as (

    select * from {{ ref('dim_date') }}

),

final as (

    select
        items.order_item_key as sale_key,
        items.order_id as transaction_id,
        items.customer_key as customer_id,
        items.product_key as product_id,
        orders.payment_method_key,
        items.store_id,
        dates.year_number * 10000 + dates.month_number * 100 + dates.day_of_month as date_key,
        items.quantity,
        items.gross_sales_amount as gross_amount,
        items.discount_amount,
        items.returns_amount as refund_amount,
        items.net_sales_amount as net_amount,
        items.tax_amount,
        items.cogs_amount as cost_amount,
        cast(items.net_sales_amount - items.cogs_amount as {{ type_money() }}) as profit_amount,
        items.order_date as sale_date
    from items
    inner join orders
        on items.order_id = orders.order_id
    left join dates
        on items.order_date = dates.date_day

)

select * from final
