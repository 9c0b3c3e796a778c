-- Σ lines = order, for every measure that a line has. Refunds that name no line stand on the order alone.
with

lines as (

    select
        order_id,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(discount_amount) as discount_amount,
        sum(returns_amount) as returns_amount,
        sum(cogs_amount) as cogs_amount
    from {{ ref('fct_order_items') }}
    where {{ is_tested('order', 'order_id') }}
    group by order_id

),

stray as (

    select
        order_id,
        sum(goods_amount) as returns_amount
    from {{ ref('fct_refund_lines') }}
    where
        {{ is_tested('order', 'order_id') }}
        and is_line_unknown
    group by order_id

)

select orders.order_id
from {{ ref('fct_orders') }} as orders
left join lines
    on orders.order_id = lines.order_id
left join stray
    on orders.order_id = stray.order_id
where
    {{ is_tested('order', 'orders.order_id') }}
    and (
        orders.gross_sales_amount <> coalesce(lines.gross_sales_amount, 0)
        or orders.discount_amount <> coalesce(lines.discount_amount, 0)
        or orders.returns_amount <> coalesce(lines.returns_amount, 0) + coalesce(stray.returns_amount, 0)
        or orders.cogs_amount is distinct from lines.cogs_amount
    )
