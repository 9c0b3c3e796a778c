-- One row per order document, with what an order is filtered and broken down by.
--
-- A view: what a question does not ask for is not joined, since every dimension has a primary key.
{{ config(meta={'tested': 'weekly'}) }}

with

orders as (

    select * from {{ ref('fct_orders') }}

),

channels as (

    select * from {{ ref('dim_channels') }}

),

payment_methods as (

    select * from {{ ref('dim_payment_methods') }}

),

places as (

    select * from {{ ref('dim_geography') }}

),

campaigns as (

    select * from {{ ref('dim_campaigns') }}

),

final as (

    select
        orders.order_id,
        orders.customer_key,
        orders.store_id,
        orders.campaign_id,
        orders.order_kind,
        orders.status,
        orders.exclusion_reason,
        orders.cancel_reason,
        orders.device,
        orders.shipping_method,
        orders.carrier,
        orders.currency,
        case
            when orders.is_new_customer then 'new'
            when not orders.is_new_customer then 'returning'
            else 'anonymous'
        end as customer_kind,
        channels.sales_channel,
        channels.marketing_channel,
        payment_methods.payment_method,
        payment_methods.payment_method_kind,
        places.country_code,
        places.country_name,
        places.region,
        places.city,
        campaigns.campaign_name,
        orders.order_seq,
        orders.line_count,
        orders.units,
        orders.returned_units,
        orders.gross_sales_amount,
        orders.discount_amount,
        orders.returns_amount,
        orders.net_sales_amount,
        orders.total_sales_amount,
        orders.is_countable,
        orders.is_money_countable,
        orders.is_new_customer,
        orders.is_cancelled,
        orders.order_date,
        orders.placed_at
    from orders
    left join channels
        on orders.channel_key = channels.channel_key
    left join payment_methods
        on orders.payment_method_key = payment_methods.payment_method_key
    left join places
        on orders.geography_key = places.geography_key
    left join campaigns
        on orders.campaign_id = campaigns.campaign_id

)

select * from final
