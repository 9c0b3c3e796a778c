-- One row per order line: its list amount, its share of the discounts and its tax, in the order's and
-- in the store's currency, all without tax.
--
-- What the document states exactly (quantity × price) is never rounded; what is computed (shares,
-- tax splits, conversions) is rounded to the currency's decimals. In each currency, list amount less
-- discount is the net amount by construction, so the identity holds to the cent on every line.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_item_key'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touched_also': [
            "select order_id from {{ ref('stg_shop__order_items') }} where sku in {{ touched('sku', 'int_skus_classified') }}",
        ],
    },
    indexes=[{'columns': ['order_id', 'line_position']}],
) }}

with

orders as (

    select * from {{ ref('int_orders_classified') }}
    where {{ is_touched('order_id') }}

),

items as (

    select * from {{ ref('stg_shop__order_items') }}
    where {{ is_touched('order_id') }}

),

order_discounts as (

    select * from {{ ref('stg_shop__order_discounts') }}
    where {{ is_touched('order_id') }}

),

kinds as (

    select * from {{ ref('int_skus_classified') }}

),

discounts as (

    select
        order_id,
        sum(abs(amount)) as discount_amount
    from order_discounts
    where kind is distinct from 'shipping'
    group by order_id

),

listed as (

    select
        items.order_id,
        items.line_id,
        items.line_position,
        items.product_id,
        items.sku,
        items.title,
        items.category,
        case
            when coalesce(items.is_gift_card, false) then 'gift_card'
            when orders.order_kind = 'adjustment' and coalesce(kinds.line_kind, 'merchandise') = 'merchandise'
                then 'adjustment'
            else coalesce(kinds.line_kind, 'merchandise')
        end as line_kind,
        orders.order_kind,
        orders.currency,
        orders.currency_decimals,
        orders.fx_rate,
        orders.order_date,
        orders.is_tax_included,
        items.quantity,
        items.unit_price,
        items.unit_cost,
        coalesce(items.tax_rate, 0) as tax_rate,
        coalesce(items.quantity * items.unit_price, 0) as list_amount,
        -- a discount never exceeds what it is given on
        case
            when coalesce(items.quantity * items.unit_price, 0) > 0
                then least(abs(coalesce(items.line_discount, 0)), items.quantity * items.unit_price)
            else 0
        end as line_discount_amount,
        coalesce(discounts.discount_amount, 0) as order_discount_amount,
        items.quantity is null or items.unit_price is null as is_price_unknown
    from items
    inner join orders
        on items.order_id = orders.order_id
    left join kinds
        on items.sku = kinds.sku
    left join discounts
        on items.order_id = discounts.order_id

),

weighted as (

    select
        *,
        -- lines that an order discount is spread over; gift cards are money, not goods
        case
            when line_kind <> 'gift_card' and list_amount > line_discount_amount
                then list_amount - line_discount_amount
            else 0
        end as discountable_amount
    from listed

),

bases as (

    select
        *,
        sum(discountable_amount) over (partition by order_id) as discount_base,
        sum(case when discountable_amount > 0 then 1 else 0 end) over (
            partition by order_id
            order by line_position asc
            rows between current row and unbounded following
        ) as lines_left
    from weighted

),

capped as (

    select
        *,
        least(order_discount_amount, discount_base) as spread_amount
    from bases

),

shared as (

    select
        *,
        case
            when discountable_amount > 0
                then {{ round_to_decimals('spread_amount * discountable_amount / discount_base', 'currency_decimals') }}
            else 0
        end as discount_share
    from capped

),

-- the last line takes what rounding left over, so that the shares add up to the discount
allocated as (

    select
        *,
        case
            when discountable_amount > 0 and lines_left = 1
                then spread_amount - (sum(discount_share) over (partition by order_id) - discount_share)
            else discount_share
        end as allocated_discount_amount
    from shared

),

discounted as (

    select
        *,
        line_discount_amount + allocated_discount_amount as priced_discount_amount,
        list_amount - line_discount_amount - allocated_discount_amount as priced_net_amount
    from allocated

),

split as (

    select
        *,
        case
            when is_tax_included and tax_rate <> 0
                then {{ round_to_decimals('list_amount / (1 + tax_rate)', 'currency_decimals') }}
            else list_amount
        end as gross_presentment,
        case
            when is_tax_included and tax_rate <> 0
                then {{ round_to_decimals('priced_discount_amount / (1 + tax_rate)', 'currency_decimals') }}
            else priced_discount_amount
        end as discount_presentment
    from discounted

),

taxed as (

    select
        *,
        case
            when tax_rate = 0 then 0
            when is_tax_included then priced_net_amount - (gross_presentment - discount_presentment)
            else {{ round_to_decimals('priced_net_amount * tax_rate', 'currency_decimals') }}
        end as tax_presentment
    from split

),

converted as (

    select
        *,
        {{ to_store_currency('gross_presentment') }} as gross_amount,
        {{ to_store_currency('discount_presentment') }} as discount_amount,
        {{ to_store_currency('tax_presentment') }} as tax_amount
    from taxed

),

final as (

    select
        {{ surrogate_key(['order_id', 'line_position']) }} as order_item_key,
        order_id,
        line_id,
        line_position,
        product_id,
        sku,
        title,
        category,
        line_kind,
        -- which measure the line's amount belongs to
        case
            when line_kind = 'gift_card' then 'gift_card'
            when line_kind = 'test' then 'test'
            when line_kind = 'shipping' then 'shipping'
            when line_kind = 'discount' then 'discount'
            when line_kind in ('fee', 'bad_debt', 'adjustment', 'donation') then 'adjustment'
            when order_kind = 'credit_note' then 'return'
            else 'sale'
        end as measure,
        currency,
        currency_decimals,
        fx_rate,
        quantity,
        unit_price,
        unit_cost,
        tax_rate,
        cast(line_discount_amount as {{ type_money() }}) as line_discount_amount,
        cast(allocated_discount_amount as {{ type_money() }}) as allocated_discount_amount,
        cast(priced_net_amount as {{ type_money() }}) as priced_net_amount,
        cast(gross_presentment as {{ type_money() }}) as gross_presentment,
        cast(discount_presentment as {{ type_money() }}) as discount_presentment,
        cast(gross_presentment - discount_presentment as {{ type_money() }}) as net_presentment,
        cast(tax_presentment as {{ type_money() }}) as tax_presentment,
        cast(gross_amount as {{ type_money() }}) as gross_amount,
        cast(discount_amount as {{ type_money() }}) as discount_amount,
        cast(gross_amount - discount_amount as {{ type_money() }}) as net_amount,
        cast(tax_amount as {{ type_money() }}) as tax_amount,
        is_tax_included,
        is_price_unknown,
        order_date
    from converted

)

select * from final
