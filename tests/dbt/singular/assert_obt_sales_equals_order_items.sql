-- Denormalising neither loses nor repeats a line's money.
with

items as (

    select * from {{ ref('fct_order_items') }}
    where {{ is_tested('order', 'order_id') }}

),

sales as (

    select * from {{ ref('obt_sales') }}
    where {{ is_tested('order', 'order_id') }}

)

select
    items.order_item_key,
    sales.order_item_key as sales_order_item_key
from items
full outer join sales
    on items.order_item_key = sales.order_item_key
where
    items.order_item_key is null
    or sales.order_item_key is null
    or items.gross_sales_amount <> sales.gross_sales_amount
    or items.discount_amount <> sales.discount_amount
    or items.returns_amount <> sales.returns_amount
    or items.net_sales_amount <> sales.net_sales_amount
    or items.tax_amount <> sales.tax_amount
    or items.cogs_amount is distinct from sales.cogs_amount
    or items.quantity is distinct from sales.quantity
