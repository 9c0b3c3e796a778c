-- One row per day, dimension of the cube and member: its sums for questions that break sales down by one thing.
--
-- Within a dimension the members add up to the day. Read instead of the cube, whose rows grow with the shop's orders.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['dimension', 'member', 'sales_date'],
    meta={'entity': 'day', 'entity_column': 'sales_date'},
) }}
{% set dimensions = [
    ('store', 'store_id'),
    ('country', 'country_code'),
    ('category', 'category'),
    ('sales_channel', 'sales_channel'),
    ('marketing_channel', 'marketing_channel'),
    ('device', 'device'),
    ('payment_method', 'payment_method'),
    ('customer_type', 'customer_type'),
] %}
{% set amounts = [
    'net_sales_amount', 'total_sales_amount', 'demand_amount', 'gross_profit_amount', 'cm2_amount', 'units',
] %}

with

-- kept, and read once for each dimension
cube as (

    select
        {% for dimension, column in dimensions -%}
        {{ column }},
        {% endfor -%}
        {% for amount in amounts -%}
        {{ amount }},
        {% endfor -%}
        orders,
        sales_date
    from {{ ref('agg_sales_cube') }}
    where {{ is_touched('sales_date') }}

),

summed as (

    {% for dimension, column in dimensions -%}
    select
        '{{ dimension }}' as dimension,
        {{ column }} as member,
        {% for amount in amounts -%}
        sum({{ amount }}) as {{ amount }},
        {% endfor -%}
        sum(orders) as orders,
        sales_date
    from cube
    group by {{ column }}, sales_date
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

final as (

    select
        dimension,
        member,
        {% for amount in amounts -%}
        cast({{ amount }} as {{ type_money() }}) as {{ amount }},
        {% endfor -%}
        cast(orders as {{ dbt.type_int() }}) as orders,
        sales_date
    from summed

)

select * from final
