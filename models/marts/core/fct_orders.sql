-- One row per order document. Documents that do not count stay, with the reason.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touches': {'customer': 'customer_key', 'day': 'order_date', 'campaign': 'campaign_id'},
        'set_apart': {
            'order_progress': {'key': 'order_id', 'columns': ['status', 'shipped_at', 'delivered_at']},
        },
        'touched_also': [
            "select entity_id from {{ touched('order_progress') }} as orders",
        ],
    },
    indexes=[
        {'columns': ['customer_key']},
        {'columns': ['order_date']},
        {'columns': ['campaign_id']},
    ],
) }}

with

orders as (

    select * from {{ ref('int_orders_classified') }}
    where {{ is_touched('order_id') }}

),

shop_orders as (

    select * from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where {{ is_touched('order_id') }}

),

charges as (

    select * from {{ ref('int_order_charges') }}
    where {{ is_touched('order_id') }}

),

channels as (

    select * from {{ ref('int_order_channels') }}
    where {{ is_touched('order_id') }}

),

places as (

    select * from {{ ref('int_order_places') }}
    where {{ is_touched('order_id') }}

),

sequences as (

    select * from {{ ref('int_orders_sequenced') }}
    where {{ is_touched('order_id') }}

),

payments as (

    select * from {{ ref('int_payment_fees') }}
    where {{ is_touched('order_id') }}

),

costs as (

    select * from {{ ref('int_order_costs') }}
    where {{ is_touched('order_id') }}

),

refunds as (

    select * from {{ ref('int_refunds_priced') }}
    where {{ is_touched('order_id') }}

),

refund_lines as (

    select * from {{ ref('int_refund_lines_priced') }}
    where {{ is_touched('order_id') }}

),

item_totals as (

    select
        order_id,
        count(*) as line_count,
        sum(case when measure in ('sale', 'return') then coalesce(quantity, 0) else 0 end) as units,
        sum(returned_quantity) as returned_units,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(discount_amount) as discount_amount,
        sum(returns_amount) as returns_amount,
        sum(shipping_amount) as shipping_amount,
        sum(adjustment_amount) as adjustment_amount,
        sum(gift_card_amount) as gift_card_amount,
        sum(tax_amount) as tax_amount,
        sum(cogs_amount) as cogs_amount,
        sum(case when measure = 'sale' then gross_sales_amount - discount_amount else 0 end) as demand_amount,
        sum(
            case when measure = 'sale' and unit_cost_amount is not null then gross_sales_amount - discount_amount else 0 end
        ) as costed_demand_amount
    from items
    group by order_id

),

payment_totals as (

    select
        order_id,
        sum(fee_amount) as payment_fee_amount
    from payments
    group by order_id

),

cost_totals as (

    select
        order_id,
        sum(case when cost_type = 'payment_fee' then cost_amount else 0 end) as estimated_payment_fee_amount,
        sum(case when cost_type = 'fulfilment' then cost_amount else 0 end) as fulfilment_cost_amount,
        sum(case when cost_type = 'packaging' then cost_amount else 0 end) as packaging_cost_amount,
        sum(case when cost_type = 'return_handling' then cost_amount else 0 end) as return_handling_cost_amount
    from costs
    group by order_id

),

-- refunded lines that name no line of the order still move the order's money
stray_refund_lines as (

    select
        order_id,
        sum(coalesce(quantity, 0)) as returned_units,
        sum(goods_amount) as returns_amount,
        sum(tax_amount) as tax_amount
    from refund_lines
    where is_line_unknown
    group by order_id

),

refund_totals as (

    select
        order_id,
        count(*) as refund_count,
        sum(shipping_amount) as shipping_amount,
        sum(adjustment_amount) as adjustment_amount,
        min(refunded_at) as first_refunded_at,
        max(refunded_at) as last_refunded_at
    from refunds
    group by order_id

),

refund_line_totals as (

    select
        order_id,
        sum(goods_presentment + tax_presentment) as refunded_presentment
    from refund_lines
    group by order_id

),

refund_charge_totals as (

    select
        order_id,
        sum(shipping_presentment + adjustment_presentment) as refunded_presentment
    from refunds
    group by order_id

),

joined as (

    select
        orders.*,
        sequences.order_seq,
        sequences.is_new_customer,
        shop_orders.device,
        shop_orders.shipping_method,
        shop_orders.carrier,
        shop_orders.cancel_reason,
        shop_orders.promised_at,
        shop_orders.shipped_at,
        shop_orders.delivered_at,
        coalesce(channels.channel_key, '-1') as channel_key,
        coalesce(channels.campaign_id, '-1') as campaign_id,
        coalesce(places.geography_key, '-1') as geography_key,
        coalesce(
            case when charges.payment_method is not null then {{ surrogate_key(['charges.payment_method']) }} end, '-1'
        ) as payment_method_key,
        coalesce(item_totals.units, 0) as units,
        coalesce(item_totals.returned_units, 0) + coalesce(stray_refund_lines.returned_units, 0) as returned_units,
        coalesce(item_totals.gross_sales_amount, 0) as gross_sales_amount,
        coalesce(item_totals.discount_amount, 0) as discount_amount,
        coalesce(item_totals.returns_amount, 0) + coalesce(stray_refund_lines.returns_amount, 0) as returns_amount,
        coalesce(item_totals.shipping_amount, 0)
        + coalesce(charges.shipping_amount, 0)
        - coalesce(refund_totals.shipping_amount, 0) as shipping_amount,
        coalesce(item_totals.tax_amount, 0) - coalesce(stray_refund_lines.tax_amount, 0) as tax_amount,
        coalesce(item_totals.adjustment_amount, 0) - coalesce(refund_totals.adjustment_amount, 0) as adjustment_amount,
        coalesce(item_totals.gift_card_amount, 0) as gift_card_amount,
        item_totals.cogs_amount,
        case
            when item_totals.demand_amount <> 0 then item_totals.costed_demand_amount / item_totals.demand_amount
        end as cost_coverage,
        coalesce(payment_totals.payment_fee_amount, 0) as payment_fee_amount,
        coalesce(cost_totals.estimated_payment_fee_amount, 0) as estimated_payment_fee_amount,
        coalesce(charges.shipping_cost_amount, 0) as shipping_cost_amount,
        coalesce(cost_totals.fulfilment_cost_amount, 0) as fulfilment_cost_amount,
        coalesce(cost_totals.packaging_cost_amount, 0) as packaging_cost_amount,
        coalesce(cost_totals.return_handling_cost_amount, 0) as return_handling_cost_amount,
        coalesce(charges.paid_amount, 0) as paid_amount,
        coalesce(charges.difference_amount, 0) as difference_amount,
        coalesce(charges.paid_presentment, 0) as paid_presentment,
        coalesce(refund_line_totals.refunded_presentment, 0)
        + coalesce(refund_charge_totals.refunded_presentment, 0) as refunded_presentment,
        coalesce(refund_totals.refund_count, 0) as refund_count,
        refund_totals.first_refunded_at,
        refund_totals.last_refunded_at
    from orders
    inner join shop_orders
        on orders.order_id = shop_orders.order_id
    left join sequences
        on orders.order_id = sequences.order_id
    left join item_totals
        on orders.order_id = item_totals.order_id
    left join charges
        on orders.order_id = charges.order_id
    left join payment_totals
        on orders.order_id = payment_totals.order_id
    left join cost_totals
        on orders.order_id = cost_totals.order_id
    left join channels
        on orders.order_id = channels.order_id
    left join places
        on orders.order_id = places.order_id
    left join stray_refund_lines
        on orders.order_id = stray_refund_lines.order_id
    left join refund_totals
        on orders.order_id = refund_totals.order_id
    left join refund_line_totals
        on orders.order_id = refund_line_totals.order_id
    left join refund_charge_totals
        on orders.order_id = refund_charge_totals.order_id

),

-- what is lost on goodwill, fees, bad debt and donations is a cost
margined as (

    select
        *,
        payment_fee_amount
        + estimated_payment_fee_amount
        + shipping_cost_amount
        + fulfilment_cost_amount
        + packaging_cost_amount
        + return_handling_cost_amount
        - adjustment_amount as variable_cost_amount,
        gross_sales_amount - discount_amount - returns_amount - coalesce(cogs_amount, 0) as gross_profit_amount
    from joined

),

final as (

    select
        order_id,
        order_no,
        order_kind,
        store_id,
        customer_key,
        channel_key,
        payment_method_key,
        geography_key,
        campaign_id,
        case when device is not null then {{ surrogate_key(['device']) }} else '-1' end as device_key,
        duplicate_of_order_id,
        status,
        exclusion_reason,
        device,
        shipping_method,
        carrier,
        cancel_reason,
        currency,
        fx_source,
        cast(fx_rate as numeric(20, 8)) as fx_rate,
        cast(order_seq as {{ dbt.type_int() }}) as order_seq,
        cast(line_count as {{ dbt.type_int() }}) as line_count,
        cast(refund_count as {{ dbt.type_int() }}) as refund_count,
        cast(units as {{ type_money() }}) as units,
        cast(returned_units as {{ type_money() }}) as returned_units,
        cast(gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(discount_amount as {{ type_money() }}) as discount_amount,
        cast(returns_amount as {{ type_money() }}) as returns_amount,
        cast(gross_sales_amount - discount_amount - returns_amount as {{ type_money() }}) as net_sales_amount,
        cast(shipping_amount as {{ type_money() }}) as shipping_amount,
        cast(tax_amount as {{ type_money() }}) as tax_amount,
        cast(
            gross_sales_amount - discount_amount - returns_amount + shipping_amount + tax_amount as {{ type_money() }}
        ) as total_sales_amount,
        cast(adjustment_amount as {{ type_money() }}) as adjustment_amount,
        cast(gift_card_amount as {{ type_money() }}) as gift_card_amount,
        cast(cogs_amount as {{ type_money() }}) as cogs_amount,
        cast(payment_fee_amount as {{ type_money() }}) as payment_fee_amount,
        cast(estimated_payment_fee_amount as {{ type_money() }}) as estimated_payment_fee_amount,
        cast(shipping_cost_amount as {{ type_money() }}) as shipping_cost_amount,
        cast(fulfilment_cost_amount as {{ type_money() }}) as fulfilment_cost_amount,
        cast(packaging_cost_amount as {{ type_money() }}) as packaging_cost_amount,
        cast(return_handling_cost_amount as {{ type_money() }}) as return_handling_cost_amount,
        cast(variable_cost_amount as {{ type_money() }}) as variable_cost_amount,
        cast(gross_profit_amount as {{ type_money() }}) as gross_profit_amount,
        cast(gross_profit_amount + shipping_amount - variable_cost_amount as {{ type_money() }}) as cm2_amount,
        cast(paid_amount as {{ type_money() }}) as paid_amount,
        cast(difference_amount as {{ type_money() }}) as difference_amount,
        cast(cost_coverage as numeric(9, 6)) as cost_coverage,
        is_countable,
        is_money_countable,
        is_new_customer,
        is_deleted,
        is_cancelled,
        captured_payment_count > 0 and refunded_presentment > paid_presentment as is_over_refunded,
        order_date,
        ordered_at as placed_at,
        first_paid_at as paid_at,
        promised_at,
        shipped_at,
        delivered_at,
        cancelled_at,
        first_refunded_at as refunded_at,
        last_refunded_at
    from margined

)

select * from final
