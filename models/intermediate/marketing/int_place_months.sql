-- One row per place, at each level of the map, and month with an order to it; order basis.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['place_key', 'month_start_date'],
    meta={
        'entity': 'month',
        'entity_column': 'month_start_date',
        'touched_also': [
            "select " ~ dbt.date_trunc('month', 'cast(touched_keys.entity_id as date)')
            ~ " from touched_keys where touched_keys.entity = 'day'",
        ],
        'untracked': {
            'dim_date': 'what is read of a day never changes',
        },
    },
    indexes=[{'columns': ['month_start_date']}],
) }}
{% set amounts = [
    'units', 'returned_units', 'net_sales_amount', 'total_sales_amount', 'gross_profit_amount', 'cm2_amount',
] %}

with

days as (

    select
        date_day,
        month_start_date
    from {{ ref('dim_date') }}
    where {{ is_touched('month_start_date') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where is_countable

),

places as (

    select * from {{ ref('int_order_places') }}

),

first_orders as (

    select
        place_key,
        first_month as month_start_date,
        count(*) as new_to_place_customers
    from {{ ref('int_place_customers') }}
    where {{ is_touched('first_month') }}
    group by place_key, first_month

),

placed as (

    select
        orders.*,
        days.month_start_date,
        places.country_code,
        places.region,
        places.city
    from days
    inner join orders
        on days.date_day = orders.order_date
    left join places
        on orders.order_id = places.order_id

),

levels as (

    {% for level in ('country', 'region', 'city') -%}
    select
        {{ place_key(level, 'placed') }} as place_key,
        '{{ level }}' as geo_level,
        placed.country_code,
        {{ 'placed.region' if level != 'country' else 'cast(null as ' ~ dbt.type_string() ~ ')' }} as region,
        {{ 'placed.city' if level == 'city' else 'cast(null as ' ~ dbt.type_string() ~ ')' }} as city,
        placed.month_start_date,
        placed.customer_key,
        placed.is_new_customer,
        {% for amount in amounts -%}
        placed.{{ amount }},
        {% endfor -%}
        placed.gross_sales_amount - placed.discount_amount as demand_amount,
        (placed.gross_sales_amount - placed.discount_amount) * coalesce(placed.cost_coverage, 0) as costed_demand_amount
    from placed
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}
),

summed as (

    select
        place_key,
        geo_level,
        country_code,
        region,
        city,
        month_start_date,
        count(*) as orders,
        count(distinct case when is_new_customer is not null then customer_key end) as customers,
        sum(case when is_new_customer then 1 else 0 end) as new_customers,
        {% for amount in amounts -%}
        sum({{ amount }}) as {{ amount }},
        {% endfor -%}
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount
    from levels
    group by place_key, geo_level, country_code, region, city, month_start_date

),

final as (

    select
        summed.*,
        coalesce(first_orders.new_to_place_customers, 0) as new_to_place_customers
    from summed
    left join first_orders
        on
            summed.place_key = first_orders.place_key
            and summed.month_start_date = first_orders.month_start_date

)

select * from final
