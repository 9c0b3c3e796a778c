-- One row per place, at each level of the map, and person who ordered to it: the month of the first order.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['place_key', 'customer_key'],
    meta={
        'entity': 'customer',
        'entity_column': 'customer_key',
        'touches': {'month': 'first_month'},
    },
    indexes=[{'columns': ['customer_key']}, {'columns': ['first_month']}],
) }}

with

orders as (

    select
        order_id,
        customer_key,
        order_date
    from {{ ref('fct_orders') }}
    where
        is_new_customer is not null
        and order_date is not null
        and {{ is_touched('customer_key') }}

),

places as (

    select * from {{ ref('int_order_places') }}

),

levels as (

    {% for level in ('country', 'region', 'city') -%}
    select
        {{ place_key(level, 'places') }} as place_key,
        orders.customer_key,
        orders.order_date
    from orders
    inner join places
        on orders.order_id = places.order_id
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}
),

final as (

    select
        place_key,
        customer_key,
        cast({{ dbt.date_trunc('month', 'min(order_date)') }} as date) as first_month
    from levels
    group by place_key, customer_key

)

select * from final
