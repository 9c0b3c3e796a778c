-- The ledger holds each order's money exactly as the order says, measure by measure.
with

ledger as (

    select
        order_id,
        sum(case when entry_type = 'sale' then amount else 0 end) as gross_sales_amount,
        -sum(case when entry_type = 'discount' then amount else 0 end) as discount_amount,
        -sum(case when entry_type = 'return' then amount else 0 end) as returns_amount,
        sum(case when entry_type in ('sale', 'discount', 'return') then amount else 0 end) as net_sales_amount,
        sum(case when entry_type = 'shipping' then amount else 0 end) as shipping_amount,
        sum(case when entry_type = 'tax' then amount else 0 end) as tax_amount,
        sum(case when entry_type = 'adjustment' then amount else 0 end) as adjustment_amount,
        sum(case when entry_type = 'gift_card' then amount else 0 end) as gift_card_amount,
        -sum(case when entry_type in ('cogs', 'cogs_return') then amount else 0 end) as cogs_amount,
        -sum(case when entry_type = 'payment_fee' then amount else 0 end) as payment_fee_amount,
        -sum(case when entry_type = 'shipping_cost' then amount else 0 end) as shipping_cost_amount,
        -sum(case when entry_type = 'payment_fee_estimate' then amount else 0 end) as estimated_payment_fee_amount,
        -sum(case when entry_type = 'fulfilment' then amount else 0 end) as fulfilment_cost_amount,
        -sum(case when entry_type = 'packaging' then amount else 0 end) as packaging_cost_amount,
        -sum(case when entry_type = 'return_handling' then amount else 0 end) as return_handling_cost_amount,
        -- everything but what passes through, is owed or is in no metric
        sum(case when entry_type not in ('tax', 'gift_card', 'test', 'total_difference') then amount else 0 end)
            as cm2_amount
    from {{ ref('fct_sales_ledger') }}
    where {{ is_tested('order', 'order_id') }}
    group by order_id

)

select orders.order_id
from {{ ref('fct_orders') }} as orders
left join ledger
    on orders.order_id = ledger.order_id
where
    {{ is_tested('order', 'orders.order_id') }}
    and (
        orders.gross_sales_amount <> coalesce(ledger.gross_sales_amount, 0)
        or orders.discount_amount <> coalesce(ledger.discount_amount, 0)
        or orders.returns_amount <> coalesce(ledger.returns_amount, 0)
        or orders.net_sales_amount <> coalesce(ledger.net_sales_amount, 0)
        or orders.shipping_amount <> coalesce(ledger.shipping_amount, 0)
        or orders.tax_amount <> coalesce(ledger.tax_amount, 0)
        or orders.adjustment_amount <> coalesce(ledger.adjustment_amount, 0)
        or orders.gift_card_amount <> coalesce(ledger.gift_card_amount, 0)
        or coalesce(orders.cogs_amount, 0) <> coalesce(ledger.cogs_amount, 0)
        or orders.payment_fee_amount <> coalesce(ledger.payment_fee_amount, 0)
        or orders.shipping_cost_amount <> coalesce(ledger.shipping_cost_amount, 0)
        or orders.estimated_payment_fee_amount <> coalesce(ledger.estimated_payment_fee_amount, 0)
        or orders.fulfilment_cost_amount <> coalesce(ledger.fulfilment_cost_amount, 0)
        or orders.packaging_cost_amount <> coalesce(ledger.packaging_cost_amount, 0)
        or orders.return_handling_cost_amount <> coalesce(ledger.return_handling_cost_amount, 0)
        or orders.cm2_amount <> coalesce(ledger.cm2_amount, 0)
    )
