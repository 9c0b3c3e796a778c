-- One row per place, at one level of the map (country, region, city), and month from its first order on.
--
-- Levels repeat each other: filter on geo_level before adding up. A month without an order is a row of
-- zeros, so that a place that went silent shows. Growth of the running month waits until it is over.
-- Computed as a whole from the months' roll-up, which grows with places, not with orders.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['place_key', 'month_start_date'],
    meta={
        'touches': {'place': 'place_key'},
        'untracked': {'dim_date': 'what is read of a day never changes'},
    },
) }}
{% set amounts = [
    'units', 'returned_units', 'net_sales_amount', 'total_sales_amount', 'gross_profit_amount', 'cm2_amount',
    'demand_amount', 'costed_demand_amount',
] %}

with

place_months as (

    select * from {{ ref('int_place_months') }}

),

countries as (

    select * from {{ ref('countries') }}

),

populations as (

    select * from {{ ref('country_populations') }}

),

months as (

    select
        month_start_date,
        case when max(date_day) <= {{ as_of_date() }} then true else false end as is_complete
    from {{ ref('dim_date') }}
    group by month_start_date

),

places as (

    select
        place_key,
        geo_level,
        country_code,
        region,
        city,
        min(month_start_date) as first_month,
        max(month_start_date) as last_month
    from place_months
    group by place_key, geo_level, country_code, region, city

),

calendar as (

    select
        places.place_key,
        places.geo_level,
        places.country_code,
        places.region,
        places.city,
        months.month_start_date,
        months.is_complete
    from places
    inner join months
        on
            places.first_month <= months.month_start_date
            and (months.month_start_date <= {{ as_of_date() }} or months.month_start_date <= places.last_month)

),

filled as (

    select
        calendar.*,
        coalesce(place_months.orders, 0) as orders,
        coalesce(place_months.customers, 0) as customers,
        coalesce(place_months.new_customers, 0) as new_customers,
        {% for amount in amounts -%}
        coalesce(place_months.{{ amount }}, 0) as {{ amount }},
        {% endfor -%}
        sum(coalesce(place_months.new_to_place_customers, 0)) over (
            partition by calendar.place_key
            order by calendar.month_start_date asc nulls last
            rows between unbounded preceding and current row
        ) as customers_to_date,
        lag(place_months.total_sales_amount, 1) over (
            partition by calendar.place_key
            order by calendar.month_start_date asc nulls last
        ) as total_sales_prior_month,
        lag(place_months.total_sales_amount, 12) over (
            partition by calendar.place_key
            order by calendar.month_start_date asc nulls last
        ) as total_sales_prior_year
    from calendar
    left join place_months
        on
            calendar.place_key = place_months.place_key
            and calendar.month_start_date = place_months.month_start_date

),

shared as (

    select
        *,
        sum(total_sales_amount) over (partition by geo_level, month_start_date) as level_sales_amount
    from filled

),

final as (

    select
        shared.place_key,
        shared.geo_level,
        shared.country_code,
        coalesce(countries.country_name, shared.country_code, 'Unknown') as country_name,
        shared.region,
        shared.city,
        cast(shared.orders as {{ dbt.type_int() }}) as orders,
        cast(shared.customers as {{ dbt.type_int() }}) as customers,
        cast(shared.new_customers as {{ dbt.type_int() }}) as new_customers,
        cast(shared.customers_to_date as {{ dbt.type_int() }}) as customers_to_date,
        cast(populations.population as {{ dbt.type_bigint() }}) as population,
        cast(populations.population_year as {{ dbt.type_int() }}) as population_year,
        {% for amount in amounts -%}
        cast(shared.{{ amount }} as {{ type_money() }}) as {{ amount }},
        {% endfor -%}
        {{ ratio('shared.total_sales_amount', 'shared.level_sales_amount') }} as share_of_sales,
        {{ growth('shared.total_sales_amount', 'case when shared.is_complete then shared.total_sales_prior_month end') }}
            as growth_on_prior_month,
        {{ growth('shared.total_sales_amount', 'case when shared.is_complete then shared.total_sales_prior_year end') }}
            as growth_on_prior_year,
        {{ ratio('shared.total_sales_amount', 'shared.orders') }} as sales_per_order,
        {{ ratio('shared.returned_units', 'shared.units') }} as returned_share,
        {{ ratio('1000000 * shared.customers_to_date', 'populations.population') }} as customers_per_million,
        {{ ratio('shared.costed_demand_amount', 'shared.demand_amount') }} as cost_coverage,
        shared.is_complete,
        shared.month_start_date
    from shared
    left join countries
        on shared.country_code = countries.country_code
    left join populations
        on
            shared.country_code = populations.country_code
            and shared.geo_level = 'country'

)

select * from final
