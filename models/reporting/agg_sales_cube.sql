-- One row per day, store and combination of the sales dimensions, with additive measures alone.
--
-- Both bases stand side by side: a measure without a prefix is filed under the day of the event, one with
-- order_basis_ under the day of its order. So no sum over rows counts anything twice, whatever is filtered.
-- What belongs to an order as a whole (shipping, fees, the count of orders) has the category '(order)'.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['cube_key'],
    meta={
        'entity': 'day',
        'entity_column': 'sales_date',
        'touched_also': [
            "select event_date from {{ ref('fct_sales_ledger') }} where order_id in {{ touched('order') }}",
            "select order_date from {{ ref('fct_orders') }} where order_id in {{ touched('order') }}",
            "select event_date from {{ ref('fct_sales_ledger') }} where product_key in {{ touched('sku_category') }}",
            "select order_date from {{ ref('fct_sales_ledger') }} where product_key in {{ touched('sku_category') }}",
        ],
    },
) }}

{% set measures = [
    ('discount_amount', "-sum(case when entry_type = 'discount' then amount else 0 end)"),
    ('returns_amount', "-sum(case when entry_type = 'return' then amount else 0 end)"),
    ('net_sales_amount', "sum(case when entry_type in ('sale', 'discount', 'return') then amount else 0 end)"),
    ('shipping_amount', "sum(case when entry_type = 'shipping' then amount else 0 end)"),
    ('tax_amount', "sum(case when entry_type = 'tax' then amount else 0 end)"),
    ('total_sales_amount', "sum(case when entry_type in ('sale', 'discount', 'return', 'shipping', 'tax') then amount else 0 end)"),
    ('cogs_amount', "-sum(case when entry_type in ('cogs', 'cogs_return') then amount else 0 end)"),
    ('gross_profit_amount', "sum(case when entry_type in ('sale', 'discount', 'return', 'cogs', 'cogs_return') then amount else 0 end)"),
    ('variable_cost_amount', "-sum(case when entry_type in (" ~ variable_cost_entries() ~ ") then amount else 0 end)"),
    ('cm2_amount', "sum(case when entry_type not in ('tax', 'gift_card') then amount else 0 end)"),
    ('returned_units', "-sum(case when entry_type = 'return' then quantity else 0 end)"),
] %}
{% set dimensions = [
    'store_id', 'country_code', 'category', 'sales_channel', 'marketing_channel', 'device', 'payment_method',
    'customer_type',
] %}
{% set event_only = ['gross_sales_amount', 'units'] %}
{% set counted = [
    'demand_amount', 'costed_demand_amount', 'order_lines', 'orders', 'new_customers', 'placed_orders',
    'cancelled_orders',
] %}
{% set bases = [('', 'event_date'), ('order_basis_', 'order_date')] %}

with

ledger as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        is_countable
        and ({{ is_touched('event_date') }} or {{ is_touched('order_date') }})

),

placed_orders as (

    select order_id from {{ ref('fct_orders') }}
    where {{ is_touched('order_date') }}

),

-- the orders of an entry may be older than the days at hand
orders as (

    select * from {{ ref('fct_orders') }}
    where
        order_id in (
            select order_id from ledger
            union
            select order_id from placed_orders
        )

),

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'
        and {{ is_touched('order_date') }}

),

products as (

    select
        product_key,
        category
    from {{ ref('dim_products') }}

),

places as (

    select
        geography_key,
        country_code
    from {{ ref('dim_geography') }}

),

channels as (

    select * from {{ ref('dim_channels') }}

),

payment_methods as (

    select * from {{ ref('dim_payment_methods') }}

),

described_orders as (

    select
        orders.order_id,
        orders.store_id,
        coalesce(places.country_code, 'unknown') as country_code,
        channels.sales_channel,
        channels.marketing_channel,
        coalesce(orders.device, 'unknown') as device,
        payment_methods.payment_method,
        -- a refund has the type of the order that it belongs to
        case
            when orders.is_new_customer then 'new'
            when not orders.is_new_customer then 'returning'
            else 'unknown'
        end as customer_type,
        orders.is_countable,
        orders.order_kind = 'sale'
        and coalesce(orders.exclusion_reason not in ('duplicate', 'test', 'deleted'), true) as is_placed,
        orders.is_cancelled,
        orders.order_date
    from orders
    left join places
        on orders.geography_key = places.geography_key
    left join channels
        on orders.channel_key = channels.channel_key
    left join payment_methods
        on orders.payment_method_key = payment_methods.payment_method_key

),

entries as (

    select
        ledger.order_id,
        ledger.entry_type,
        ledger.amount,
        ledger.quantity,
        case when ledger.order_item_key is null then '(order)' else products.category end as category,
        ledger.event_date,
        ledger.order_date
    from ledger
    left join products
        on ledger.product_key = products.product_key

),

-- summed up before the order is described: there are several entries a line
money as (

    {% for prefix, day in bases -%}
    select
        order_id,
        category,
        {{ day }} as sales_date,
        {% for base_prefix, base_day in bases -%}
        {% for name, expression in measures -%}
        {{ expression if base_prefix == prefix else 0 }} as {{ base_prefix }}{{ name }},
        {% endfor -%}
        {% endfor -%}
        {% if prefix == '' -%}
        sum(case when entry_type = 'sale' then amount else 0 end) as gross_sales_amount,
        sum(case when entry_type = 'sale' then quantity else 0 end) as units
        {%- else -%}
        0 as gross_sales_amount,
        0 as units
        {%- endif %}
    from entries
    where {{ is_touched(day) }}
    group by order_id, category, {{ day }}
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

line_counts as (

    select
        items.order_id,
        products.category,
        sum(items.gross_sales_amount - items.discount_amount) as demand_amount,
        sum(
            case when items.unit_cost_amount is not null then items.gross_sales_amount - items.discount_amount else 0 end
        ) as costed_demand_amount,
        count(*) as order_lines,
        items.order_date as sales_date
    from items
    left join products
        on items.product_key = products.product_key
    group by items.order_id, products.category, items.order_date

),

parts as (

    select
        order_id,
        category,
        sales_date,
        {% for prefix, day in bases -%}
        {% for name, expression in measures -%}
        {{ prefix }}{{ name }},
        {% endfor -%}
        {% endfor -%}
        {% for name in event_only -%}
        {{ name }},
        {% endfor -%}
        {% for name in counted -%}
        0 as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from money

    union all

    select
        order_id,
        category,
        sales_date,
        {% for prefix, day in bases -%}
        {% for name, expression in measures -%}
        0 as {{ prefix }}{{ name }},
        {% endfor -%}
        {% endfor -%}
        {% for name in event_only -%}
        0 as {{ name }},
        {% endfor -%}
        demand_amount,
        costed_demand_amount,
        order_lines,
        0 as orders,
        0 as new_customers,
        0 as placed_orders,
        0 as cancelled_orders
    from line_counts

    union all

    select
        order_id,
        '(order)' as category,
        order_date as sales_date,
        {% for prefix, day in bases -%}
        {% for name, expression in measures -%}
        0 as {{ prefix }}{{ name }},
        {% endfor -%}
        {% endfor -%}
        {% for name in event_only -%}
        0 as {{ name }},
        {% endfor -%}
        0 as demand_amount,
        0 as costed_demand_amount,
        0 as order_lines,
        case when is_countable then 1 else 0 end as orders,
        case when is_countable and customer_type = 'new' then 1 else 0 end as new_customers,
        case when is_placed then 1 else 0 end as placed_orders,
        case when is_placed and is_cancelled then 1 else 0 end as cancelled_orders
    from described_orders
    where
        (is_countable or is_placed)
        and {{ is_touched('order_date') }}

),

summed as (

    select
        parts.sales_date,
        {% for name in dimensions -%}
        {{ 'parts' if name == 'category' else 'described_orders' }}.{{ name }},
        {% endfor -%}
        {% for prefix, day in bases -%}
        {% for name, expression in measures -%}
        sum(parts.{{ prefix }}{{ name }}) as {{ prefix }}{{ name }},
        {% endfor -%}
        {% endfor -%}
        {% for name in event_only + counted -%}
        sum(parts.{{ name }}) as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from parts
    inner join described_orders
        on parts.order_id = described_orders.order_id
    group by
        parts.sales_date,
        {% for name in dimensions -%}
        {{ 'parts' if name == 'category' else 'described_orders' }}.{{ name }}{{ ',' if not loop.last }}
        {% endfor %}

),

final as (

    select
        {{ surrogate_key(['sales_date'] + dimensions) }} as cube_key,
        {% for name in dimensions -%}
        {{ name }},
        {% endfor -%}
        {% for name in ['gross_sales_amount'] -%}
        cast({{ name }} as {{ type_money() }}) as {{ name }},
        {% endfor -%}
        {% for prefix, day in bases -%}
        {% for name, expression in measures -%}
        cast({{ prefix }}{{ name }} as {{ type_money() }}) as {{ prefix }}{{ name }},
        {% endfor -%}
        {% endfor -%}
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        cast(units as {{ type_money() }}) as units,
        cast(order_lines as {{ dbt.type_int() }}) as order_lines,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(new_customers as {{ dbt.type_int() }}) as new_customers,
        cast(placed_orders as {{ dbt.type_int() }}) as placed_orders,
        cast(cancelled_orders as {{ dbt.type_int() }}) as cancelled_orders,
        sales_date
    from summed

)

select * from final
