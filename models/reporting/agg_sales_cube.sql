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
    ('discount_amount', "-sum(case when entry_type = 'discount' then amount end)"),
    ('returns_amount', "-sum(case when entry_type = 'return' then amount end)"),
    ('net_sales_amount', "sum(case when entry_type in ('sale', 'discount', 'return') then amount end)"),
    ('shipping_amount', "sum(case when entry_type = 'shipping' then amount end)"),
    ('tax_amount', "sum(case when entry_type = 'tax' then amount end)"),
    ('total_sales_amount', "sum(case when entry_type in ('sale', 'discount', 'return', 'shipping', 'tax') then amount end)"),
    ('cogs_amount', "-sum(case when entry_type in ('cogs', 'cogs_return') then amount end)"),
    ('gross_profit_amount', "sum(case when entry_type in ('sale', 'discount', 'return', 'cogs', 'cogs_return') then amount end)"),
    ('variable_cost_amount', "-sum(case when entry_type in (" ~ variable_cost_entries() ~ ") then amount end)"),
    ('cm2_amount', "sum(case when entry_type not in ('tax', 'gift_card') then amount end)"),
    ('returned_units', "-sum(case when entry_type = 'return' then quantity end)"),
] %}
{% set dimensions = [
    'store_id', 'country_code', 'category', 'sales_channel', 'marketing_channel', 'device', 'payment_method',
    'customer_type',
] %}
{% set order_dimensions = dimensions | reject('equalto', 'category') | list %}
{% set qualified = [] %}
{% for name in dimensions -%}
    {% do qualified.append(('summed.' if name == 'category' else 'order_groups.') ~ name) %}
{%- endfor %}
{% set event_only = [
    ('gross_sales_amount', "sum(case when entry_type = 'sale' then amount end)"),
    ('units', "sum(case when entry_type = 'sale' then quantity end)"),
] %}
{% set counted = [
    'demand_amount', 'costed_demand_amount', 'order_lines', 'orders', 'new_customers', 'placed_orders',
    'cancelled_orders',
] %}

with

-- two parts, each of which an index finds: the entries of the days' orders, and those of older orders on these days
entries_of_orders as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        is_countable
        and {{ is_touched('order_date') }}

),

late_entries as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        is_countable
        and {{ is_touched('event_date') }}
        and ({{ is_touched('order_date') }}) is not true

),

ledger as (

    select * from entries_of_orders

    union all

    select * from late_entries

),

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_date') }}

    union all

    select * from {{ ref('fct_orders') }}
    where
        {{ is_in_few('order_id', 'select order_id from late_entries') }}
        and ({{ is_touched('order_date') }}) is not true

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

-- orders alike in all dimensions are one group: a number sorts faster than seven texts
grouped_orders as (

    select
        *,
        dense_rank() over (
            order by
                {% for name in order_dimensions -%}
                {{ name }} asc nulls last{{ ',' if not loop.last }}
                {% endfor %}
        ) as order_group
    from described_orders

),

order_groups as (

    select distinct
        order_group,
        {% for name in order_dimensions -%}
        {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from grouped_orders

),

entries as (

    select
        grouped_orders.order_group,
        case when ledger.order_item_key is null then '(order)' else products.category end as category,
        ledger.entry_type,
        ledger.amount,
        ledger.quantity,
        ledger.event_date,
        ledger.order_date
    from ledger
    inner join grouped_orders
        on ledger.order_id = grouped_orders.order_id
    left join products
        on ledger.product_key = products.product_key

),

-- an entry counts on its own day and on its order's, and stands here twice where these differ
parts as (

    select
        order_group,
        category,
        event_date as sales_date,
        entry_type as event_type,
        case when event_date = order_date then entry_type end as order_type,
        amount,
        quantity,
        {% for name in counted -%}
        cast(null as {{ dbt.type_numeric() }}) as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from entries
    where {{ is_touched('event_date') }}

    union all

    select
        order_group,
        category,
        order_date as sales_date,
        cast(null as {{ dbt.type_string() }}) as event_type,
        entry_type as order_type,
        amount,
        quantity,
        {% for name in counted -%}
        cast(null as {{ dbt.type_numeric() }}) as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from entries
    where
        (event_date = order_date) is not true
        and {{ is_touched('order_date') }}

    union all

    select
        grouped_orders.order_group,
        products.category,
        items.order_date as sales_date,
        cast(null as {{ dbt.type_string() }}) as event_type,
        cast(null as {{ dbt.type_string() }}) as order_type,
        cast(null as {{ dbt.type_numeric() }}) as amount,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        items.gross_sales_amount - items.discount_amount as demand_amount,
        case
            when items.unit_cost_amount is not null then items.gross_sales_amount - items.discount_amount
        end as costed_demand_amount,
        1 as order_lines,
        cast(null as {{ dbt.type_numeric() }}) as orders,
        cast(null as {{ dbt.type_numeric() }}) as new_customers,
        cast(null as {{ dbt.type_numeric() }}) as placed_orders,
        cast(null as {{ dbt.type_numeric() }}) as cancelled_orders
    from items
    inner join grouped_orders
        on items.order_id = grouped_orders.order_id
    left join products
        on items.product_key = products.product_key

    union all

    select
        order_group,
        '(order)' as category,
        order_date as sales_date,
        cast(null as {{ dbt.type_string() }}) as event_type,
        cast(null as {{ dbt.type_string() }}) as order_type,
        cast(null as {{ dbt.type_numeric() }}) as amount,
        cast(null as {{ dbt.type_numeric() }}) as quantity,
        cast(null as {{ dbt.type_numeric() }}) as demand_amount,
        cast(null as {{ dbt.type_numeric() }}) as costed_demand_amount,
        cast(null as {{ dbt.type_numeric() }}) as order_lines,
        case when is_countable then 1 end as orders,
        case when is_countable and customer_type = 'new' then 1 end as new_customers,
        case when is_placed then 1 end as placed_orders,
        case when is_placed and is_cancelled then 1 end as cancelled_orders
    from grouped_orders
    where
        (is_countable or is_placed)
        and order_date is not null
        and {{ is_touched('order_date') }}

),

summed as (

    select
        sales_date,
        order_group,
        category,
        {% for name, expression in measures -%}
        {{ expression | replace('entry_type', 'event_type') }} as {{ name }},
        {% endfor -%}
        {% for name, expression in measures -%}
        {{ expression | replace('entry_type', 'order_type') }} as order_basis_{{ name }},
        {% endfor -%}
        {% for name, expression in event_only -%}
        {{ expression | replace('entry_type', 'event_type') }} as {{ name }},
        {% endfor -%}
        {% for name in counted -%}
        sum({{ name }}) as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from parts
    group by sales_date, order_group, category

),

final as (

    select
        {{ surrogate_key(['summed.sales_date'] + qualified) }} as cube_key,
        {% for name in qualified -%}
        {{ name }},
        {% endfor -%}
        cast(coalesce(summed.gross_sales_amount, 0) as {{ type_money() }}) as gross_sales_amount,
        {% for prefix in ['', 'order_basis_'] -%}
        {% for name, expression in measures -%}
        cast(coalesce(summed.{{ prefix }}{{ name }}, 0) as {{ type_money() }}) as {{ prefix }}{{ name }},
        {% endfor -%}
        {% endfor -%}
        cast(coalesce(summed.demand_amount, 0) as {{ type_money() }}) as demand_amount,
        cast(coalesce(summed.costed_demand_amount, 0) as {{ type_money() }}) as costed_demand_amount,
        cast(coalesce(summed.units, 0) as {{ type_money() }}) as units,
        {% for name in ['order_lines', 'orders', 'new_customers', 'placed_orders', 'cancelled_orders'] -%}
        cast(coalesce(summed.{{ name }}, 0) as {{ dbt.type_int() }}) as {{ name }},
        {% endfor -%}
        summed.sales_date
    from summed
    inner join order_groups
        on summed.order_group = order_groups.order_group

)

select * from final
