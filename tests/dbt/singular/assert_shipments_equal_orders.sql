-- A parcel costs what its order says that shipping cost; an order has one parcel at most.
select
    orders.order_id,
    count(*) as shipments
from {{ ref('fct_shipments') }} as shipments
left join {{ ref('fct_orders') }} as orders
    on shipments.order_id = orders.order_id
where {{ is_tested('order', 'shipments.order_id') }}
group by orders.order_id
having
    count(*) > 1
    or sum(shipments.shipping_cost_amount) <> max(orders.shipping_cost_amount)
    or orders.order_id is null
