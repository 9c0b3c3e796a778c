-- The shares of an order's discount add up to the discount itself, cut to the value of the goods.
with

discounts as (

    select
        order_id,
        sum(abs(amount)) as discount_amount
    from {{ ref('stg_shop__order_discounts') }}
    where
        {{ is_tested('order', 'order_id') }}
        and kind is distinct from 'shipping'
    group by order_id

),

lines as (

    select
        order_id,
        sum(allocated_discount_amount) as allocated_amount,
        sum(
            case
                when line_kind <> 'gift_card' and quantity * unit_price > line_discount_amount
                    then quantity * unit_price - line_discount_amount
                else 0
            end
        ) as discountable_amount
    from {{ ref('int_order_lines_priced') }}
    where {{ is_tested('order', 'order_id') }}
    group by order_id

)

select
    lines.order_id,
    lines.allocated_amount,
    discounts.discount_amount,
    lines.discountable_amount
from lines
left join discounts
    on lines.order_id = discounts.order_id
where
    lines.allocated_amount
    <> least(coalesce(discounts.discount_amount, 0), coalesce(lines.discountable_amount, 0))
