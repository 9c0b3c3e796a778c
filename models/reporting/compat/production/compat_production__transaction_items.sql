-- One row per order line of goods that counts.
{{ config(alias='transaction_items') }}

with

items as (

    select * from {{ ref('fct_order_items') }}
    where is_countable and measure in ('sale', 'return')

),

final as (

    select
        order_item_key as transaction_item_id,
        order_id as transaction_id,
        customer_key as customer_id,
        product_key as product_id,
        quantity,
        cast(case when quantity <> 0 then gross_sales_amount / quantity end as {{ type_money() }}) as unit_price,
        gross_sales_amount as total_price,
        discount_amount,
        returned_quantity,
        returns_amount as refund_amount,
        net_sales_amount as net_amount,
        tax_amount,
        unit_cost_amount as unit_cost,
        cogs_amount as total_cost,
        order_date
    from items

)

select * from final
