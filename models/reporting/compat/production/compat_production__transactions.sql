-- One row per countable order.
{{ config(alias='transactions') }}

with

orders as (

    select * from {{ ref('fct_orders') }}
    where is_countable

),

payment_methods as (

    select * from {{ ref('dim_payment_methods') }}

),

places as (

    select * from {{ ref('dim_geography') }}

),

channels as (

    select * from {{ ref('dim_channels') }}

),

final as (

    select
        orders.order_id as transaction_id,
        orders.order_no,
        orders.customer_key as customer_id,
        orders.store_id,
        orders.status,
        payment_methods.payment_method,
        places.country_code as country,
        places.region,
        channels.sales_channel,
        channels.marketing_channel,
        orders.campaign_id,
        orders.currency,
        orders.gross_sales_amount as gross_amount,
        orders.discount_amount,
        orders.returns_amount as refund_amount,
        orders.net_sales_amount as net_amount,
        orders.shipping_amount,
        orders.tax_amount,
        orders.total_sales_amount as total_amount,
        orders.order_date as transaction_date,
        orders.placed_at
    from orders
    left join payment_methods
        on orders.payment_method_key = payment_methods.payment_method_key
    left join places
        on orders.geography_key = places.geography_key
    left join channels
        on orders.channel_key = channels.channel_key

)

select * from final
