-- One row per finding: a document that was kept as it is although something in it cannot be right.
--
-- A view: it reads all facts, and is asked when somebody looks into the data, not in each build.
{{ config(materialized='view', meta={'tested': 'weekly'}) }}

with

-- the columns alone that are asked for: these rows are kept and read once for each finding
orders as (

    select
        order_id,
        order_no,
        duplicate_of_order_id,
        exclusion_reason,
        currency,
        fx_source,
        difference_amount,
        returns_amount,
        is_countable,
        is_over_refunded,
        order_date,
        placed_at,
        shipped_at,
        delivered_at
    from {{ ref('fct_orders') }}

),

items as (

    select
        order_item_key,
        order_id,
        sku,
        product_key,
        is_price_unknown
    from {{ ref('fct_order_items') }}
    where
        product_key = '-1'
        or is_price_unknown

),

shop_items as (

    select * from {{ ref('stg_shop__order_items') }}

),

payments as (

    select * from {{ ref('fct_payments') }}

),

refunds as (

    select * from {{ ref('fct_refunds') }}

),

refund_lines as (

    select * from {{ ref('fct_refund_lines') }}

),

reviews as (

    select * from {{ ref('fct_reviews') }}

),

channels as (

    select * from {{ ref('int_order_channels') }}

),

identities as (

    select * from {{ ref('int_customers_resolved') }}

),

shop_orders as (

    select
        order_id,
        user_id,
        updated_at
    from {{ ref('stg_shop__orders') }}

),

spend as (

    select * from {{ ref('int_campaign_days_converted') }}

),

findings as (

    select
        'totals_differ_from_lines' as finding,
        'order' as entity,
        order_id as entity_id,
        cast(difference_amount as {{ dbt.type_string() }}) as detail
    from orders
    where
        difference_amount <> 0
        and is_countable

    union all

    select
        'duplicate_order' as finding,
        'order' as entity,
        order_id as entity_id,
        duplicate_of_order_id as detail
    from orders
    where exclusion_reason = 'duplicate'

    union all

    select
        'order_without_items' as finding,
        'order' as entity,
        order_id as entity_id,
        order_no as detail
    from orders
    where exclusion_reason = 'no_items'

    union all

    select
        'delivered_before_shipped' as finding,
        'order' as entity,
        order_id as entity_id,
        cast(delivered_at as {{ dbt.type_string() }}) as detail
    from orders
    where delivered_at < shipped_at

    union all

    select
        'delivered_in_the_future' as finding,
        'order' as entity,
        order_id as entity_id,
        cast(delivered_at as {{ dbt.type_string() }}) as detail
    from orders
    where {{ local_date('delivered_at') }} > {{ dbt.dateadd('day', 1, as_of_date()) }}

    union all

    select
        'placed_in_the_future' as finding,
        'order' as entity,
        order_id as entity_id,
        cast(placed_at as {{ dbt.type_string() }}) as detail
    from orders
    where order_date > {{ dbt.dateadd('day', 1, as_of_date()) }}

    union all

    select
        'updated_in_the_future' as finding,
        'order' as entity,
        order_id as entity_id,
        cast(updated_at as {{ dbt.type_string() }}) as detail
    from shop_orders
    where {{ local_date('updated_at') }} > {{ dbt.dateadd('day', 1, as_of_date()) }}

    union all

    select
        'order_without_date' as finding,
        'order' as entity,
        order_id as entity_id,
        order_no as detail
    from orders
    where order_date is null

    union all

    select
        'exchange_rate_unknown' as finding,
        'order' as entity,
        order_id as entity_id,
        currency as detail
    from orders
    where fx_source = 'missing'

    union all

    select
        'exchange_rate_looked_up' as finding,
        'order' as entity,
        order_id as entity_id,
        currency as detail
    from orders
    where fx_source = 'exchange_rates'

    union all

    select
        'more_refunded_than_paid' as finding,
        'order' as entity,
        order_id as entity_id,
        cast(returns_amount as {{ dbt.type_string() }}) as detail
    from orders
    where is_over_refunded

    union all

    select
        'account_without_document' as finding,
        'order' as entity,
        shop_orders.order_id as entity_id,
        shop_orders.user_id as detail
    from shop_orders
    inner join identities
        on 'account:' || shop_orders.user_id = identities.identity_id
    where not identities.has_document

    union all

    select
        'campaign_unknown' as finding,
        'order' as entity,
        order_id as entity_id,
        cast(null as {{ dbt.type_string() }}) as detail
    from channels
    where is_campaign_unknown

    union all

    select
        'sku_unknown' as finding,
        'order_line' as entity,
        order_item_key as entity_id,
        sku as detail
    from items
    where product_key = '-1'

    union all

    select
        'price_or_quantity_unreadable' as finding,
        'order_line' as entity,
        order_item_key as entity_id,
        order_id as detail
    from items
    where is_price_unknown

    union all

    select
        'discount_larger_than_line' as finding,
        'order_line' as entity,
        {{ surrogate_key(['order_id', 'line_position']) }} as entity_id,
        cast(line_discount as {{ dbt.type_string() }}) as detail
    from shop_items
    where
        line_discount > quantity * unit_price
        and quantity * unit_price >= 0

    union all

    select
        'payment_webhook_twice' as finding,
        'payment' as entity,
        payment_key as entity_id,
        payment_id as detail
    from payments
    where is_duplicate

    union all

    select
        'refund_without_date' as finding,
        'refund' as entity,
        refund_key as entity_id,
        order_id as detail
    from refunds
    where is_date_unknown

    union all

    select
        'refund_of_unknown_line' as finding,
        'refund_line' as entity,
        refund_line_key as entity_id,
        order_id as detail
    from refund_lines
    where is_line_unknown

    union all

    select
        'review_of_unknown_product' as finding,
        'review' as entity,
        review_id as entity_id,
        product_id as detail
    from reviews
    where is_product_unknown

    union all

    select
        'spend_without_exchange_rate' as finding,
        'campaign_day' as entity,
        campaign_day_id as entity_id,
        currency as detail
    from spend
    where is_rate_unknown

),

final as (

    select
        finding,
        entity,
        entity_id,
        detail
    from findings

)

select * from final
