-- One row per order document: what was charged and paid beside its lines.
--
-- Shipping is what the customer was charged less shipping discounts. Our own cost of shipping is
-- booked in the store's currency.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
    },
) }}

with

orders as (

    select * from {{ ref('int_orders_classified') }}
    where {{ is_touched('order_id') }}

),

shop_orders as (

    select
        order_id,
        coalesce(shipping_price, 0) as shipping_price,
        coalesce(shipping_cost, 0) as shipping_cost,
        totals_grand
    from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

order_discounts as (

    select * from {{ ref('stg_shop__order_discounts') }}
    where {{ is_touched('order_id') }}

),

payments as (

    select * from {{ ref('int_payments_deduplicated') }}
    where {{ is_touched('order_id') }}

),

lines as (

    select * from {{ ref('int_order_lines_priced') }}
    where {{ is_touched('order_id') }}

),

shipping_discounts as (

    select
        order_id,
        sum(abs(amount)) as shipping_discount
    from order_discounts
    where kind = 'shipping'
    group by order_id

),

ranked_payments as (

    select
        *,
        row_number() over (
            partition by order_id
            order by
                case when is_captured then 0 else 1 end asc,
                paid_at asc nulls last,
                payment_position asc
        ) as payment_rank
    from payments
    where not is_duplicate

),

paid as (

    select
        order_id,
        max(case when payment_rank = 1 then method end) as payment_method,
        sum(case when is_captured then coalesce(amount, 0) else 0 end) as paid_presentment
    from ranked_payments
    group by order_id

),

line_totals as (

    select
        order_id,
        sum(priced_net_amount) + sum(case when is_tax_included then 0 else tax_presentment end)
            as lines_presentment
    from lines
    group by order_id

),

charged as (

    select
        orders.order_id,
        orders.currency,
        orders.fx_rate,
        paid.payment_method,
        shop_orders.shipping_price
        - least(coalesce(shipping_discounts.shipping_discount, 0), shop_orders.shipping_price)
            as shipping_presentment,
        shop_orders.shipping_cost,
        coalesce(paid.paid_presentment, 0) as paid_presentment,
        coalesce(line_totals.lines_presentment, 0) as lines_presentment,
        shop_orders.totals_grand
    from orders
    inner join shop_orders
        on orders.order_id = shop_orders.order_id
    left join shipping_discounts
        on orders.order_id = shipping_discounts.order_id
    left join paid
        on orders.order_id = paid.order_id
    left join line_totals
        on orders.order_id = line_totals.order_id

),

final as (

    select
        order_id,
        payment_method,
        shipping_presentment,
        paid_presentment,
        -- what the document's own total claims beyond its lines and shipping
        coalesce(totals_grand - lines_presentment - shipping_presentment, 0) as difference_presentment,
        {{ to_store_currency('shipping_presentment') }} as shipping_amount,
        {{ to_store_currency('paid_presentment') }} as paid_amount,
        {{ round_money('shipping_cost') }} as shipping_cost_amount,
        {{ to_store_currency('coalesce(totals_grand - lines_presentment - shipping_presentment, 0)') }}
            as difference_amount
    from charged

)

select * from final
