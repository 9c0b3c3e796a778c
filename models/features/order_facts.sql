-- One row per order with something sold, up to the last complete day: what makes an order unlike others.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touched_also': [
            "select order_id from {{ ref('fct_order_items') }} where order_date > {{ last_day_built('order_date') }}",
        ],
    },
) }}

with

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'
        and order_date <= {{ as_of_date() }}
        and {{ is_touched('order_id') }}

),

summed as (

    select
        order_id,
        customer_key,
        order_date,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(discount_amount) as discount_amount,
        sum(quantity) as units,
        count(*) as order_lines,
        min(ordered_at) as placed_at
    from items
    group by order_id, customer_key, order_date

),

final as (

    select
        order_id,
        -- anonymous buyers are nobody in particular
        case when customer_key <> '-1' then customer_key end as customer_key,
        cast(gross_sales_amount - discount_amount as {{ type_money() }}) as demand_amount,
        cast(gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(discount_amount as {{ type_money() }}) as discount_amount,
        cast(units as {{ dbt.type_int() }}) as units,
        cast(order_lines as {{ dbt.type_int() }}) as order_lines,
        order_date,
        placed_at
    from summed

)

select * from final
