-- One row per order and product: what was in the basket when the day was over.
--
-- What came back on the day of the order never was in the basket; later returns restate nothing, since on the
-- day nobody knew. Of anonymous buyers only the basket is known: their customer is null.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id', 'product_key'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touched_also': [
            "select order_id from {{ ref('fct_order_items') }} where customer_key in {{ touched('customer_kind') }}"
            " or order_date > {{ last_day_built('order_date') }}",
        ],
    },
) }}

with

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'
        and line_kind = 'merchandise'
        and product_key <> '-1'
        and quantity > 0
        and order_date <= {{ as_of_date() }}
        and {{ is_touched('order_id') }}

),

customers as (

    select * from {{ ref('dim_customers') }}
    where
        customer_key <> '-1'
        and not is_anonymous

),

same_day_returns as (

    select
        order_item_key,
        sum(quantity) as quantity
    from {{ ref('fct_refund_lines') }}
    where
        order_item_key is not null
        and is_countable
        and refund_date = order_date
        and {{ is_touched('order_id') }}
    group by order_item_key

),

kept as (

    select
        items.order_id,
        items.product_key,
        items.customer_key,
        items.order_date,
        greatest(items.quantity - coalesce(same_day_returns.quantity, 0), 0) as quantity,
        (items.gross_sales_amount - items.discount_amount)
        * greatest(items.quantity - coalesce(same_day_returns.quantity, 0), 0) / items.quantity as amount
    from items
    left join same_day_returns
        on items.order_item_key = same_day_returns.order_item_key

),

baskets as (

    select
        order_id,
        product_key,
        max(customer_key) as customer_key,
        max(order_date) as order_date,
        sum(quantity) as quantity,
        sum(amount) as amount
    from kept
    where quantity > 0
    group by order_id, product_key

),

final as (

    select
        baskets.order_id,
        baskets.product_key,
        customers.customer_key,
        cast(baskets.quantity as {{ type_money() }}) as quantity,
        cast(baskets.amount as {{ type_money() }}) as amount,
        baskets.order_date
    from baskets
    left join customers
        on baskets.customer_key = customers.customer_key

)

select * from final
