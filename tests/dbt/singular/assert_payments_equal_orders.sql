-- What was captured for an order, copies of a webhook left out, is what the order says was paid.
with

payments as (

    select
        order_id,
        sum(presentment_amount) as paid_presentment
    from {{ ref('fct_payments') }}
    where
        {{ is_tested('order', 'order_id') }}
        and is_captured
        and not is_duplicate
    group by order_id

)

select orders.order_id
from {{ ref('fct_orders') }} as orders
left join payments
    on orders.order_id = payments.order_id
where
    {{ is_tested('order', 'orders.order_id') }}
    and (
        orders.paid_amount
        <> {{ to_store_currency('coalesce(payments.paid_presentment, 0)', 'orders.currency', 'orders.fx_rate') }}
    )
