-- One row per order line, wide: what a BI tool needs of an order, its product and its customer, joined.
--
-- Amounts are of the line alone, on the order basis (what came back later is netted in), so every column adds
-- up. What belongs to the order as a whole (shipping, fees) is in fct_orders and not repeated here. No
-- personal data: the customer is a key and what an order says of them.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_item_key'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touched_also': [
            "select entity_id from {{ touched('order_progress') }} as orders",
            "select order_id from {{ ref('fct_order_items') }} where product_key in {{ touched('sku_name') }}",
            "select order_id from {{ ref('fct_orders') }} where campaign_id in {{ touched('campaign', 'dim_campaigns') }}",
            "select order_id from {{ ref('fct_orders') }} where geography_key in {{ touched('place', 'dim_geography') }}",
        ],
        'untracked': {'dim_date': 'what is read of a day never changes'},
    },
) }}

with

items as (

    select * from {{ ref('fct_order_items') }}
    where {{ is_touched('order_id') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_id') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

places as (

    select * from {{ ref('dim_geography') }}

),

channels as (

    select * from {{ ref('dim_channels') }}

),

payment_methods as (

    select * from {{ ref('dim_payment_methods') }}

),

campaigns as (

    select * from {{ ref('dim_campaigns') }}

),

dates as (

    select * from {{ ref('dim_date') }}

),

joined as (

    select
        items.order_item_key,
        items.order_id,
        items.line_id,
        items.order_no,
        items.store_id,
        items.customer_key,
        items.product_key,
        orders.channel_key,
        orders.geography_key,
        orders.payment_method_key,
        orders.campaign_id,
        orders.order_kind,
        orders.status as order_status,
        orders.exclusion_reason,
        case
            when orders.is_new_customer then 'new'
            when not orders.is_new_customer then 'returning'
            else 'unknown'
        end as customer_type,
        channels.sales_channel,
        channels.marketing_channel,
        campaigns.campaign_name,
        coalesce(orders.device, 'unknown') as device,
        payment_methods.payment_method,
        payment_methods.payment_method_kind,
        orders.shipping_method,
        places.country_code,
        places.country_name,
        places.region,
        places.city,
        products.sku,
        products.product_id,
        products.product_name,
        products.brand,
        products.category,
        products.subcategory,
        items.line_kind,
        items.measure,
        items.currency,
        items.cost_source,
        dates.day_name as order_day_name,
        dates.month_name as order_month_name,
        dates.season as order_season,
        dates.holiday_name as order_holiday_name,
        items.line_position,
        orders.order_seq,
        dates.year_number as order_year,
        dates.quarter_number as order_quarter,
        dates.month_number as order_month,
        dates.iso_day_of_week as order_iso_day_of_week,
        items.quantity,
        items.returned_quantity,
        items.restocked_quantity,
        items.unit_price_amount as unit_price_presentment_amount,
        cast(
            case when items.quantity <> 0 then items.gross_sales_amount / items.quantity end as {{ type_money() }}
        ) as list_price_amount,
        items.gross_sales_amount,
        items.discount_amount,
        items.returns_amount,
        items.net_sales_amount,
        items.shipping_amount,
        items.tax_amount,
        items.adjustment_amount,
        items.gift_card_amount,
        items.unit_cost_amount,
        items.cogs_amount,
        -- null and not the whole of net sales where the cost is unknown
        cast(items.net_sales_amount - items.cogs_amount as {{ type_money() }}) as gross_profit_amount,
        items.is_countable,
        orders.is_countable as is_order_countable,
        items.unit_cost_amount is not null as is_cost_known,
        orders.is_cancelled,
        dates.is_weekend as is_order_on_weekend,
        items.order_date,
        dates.week_start_date as order_week_start_date,
        dates.month_start_date as order_month_start_date,
        items.first_refund_date,
        items.ordered_at
    from items
    inner join orders
        on items.order_id = orders.order_id
    left join products
        on items.product_key = products.product_key
    left join places
        on orders.geography_key = places.geography_key
    left join channels
        on orders.channel_key = channels.channel_key
    left join payment_methods
        on orders.payment_method_key = payment_methods.payment_method_key
    left join campaigns
        on orders.campaign_id = campaigns.campaign_id
    left join dates
        on items.order_date = dates.date_day

),

final as (

    select
        *,
        case
            when list_price_amount is null or measure <> 'sale' then 'none'
            when list_price_amount < 10 then '0-10'
            when list_price_amount < 25 then '10-25'
            when list_price_amount < 50 then '25-50'
            when list_price_amount < 100 then '50-100'
            else '100+'
        end as price_band
    from joined

)

select * from final
