-- One row per place (country, region, city) that any order was sent to, plus the unknown member '-1'.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['geography_key'],
    meta={
        'touches': {'place': 'geography_key'},
    },
) }}

with

places as (

    {{ distinct_rows(ref('int_order_places'), 'geography_key', ['country_code', 'region', 'city']) }}

),

countries as (

    select * from {{ ref('countries') }}

),

known_places as (

    select * from places
    where geography_key <> '-1'

),

final as (

    select
        known_places.geography_key,
        known_places.country_code,
        coalesce(countries.country_name, known_places.country_code, 'Unknown') as country_name,
        known_places.region,
        known_places.city
    from known_places
    left join countries
        on known_places.country_code = countries.country_code

    union all

    select
        '-1' as geography_key,
        cast(null as {{ dbt.type_string() }}) as country_code,
        'Unknown' as country_name,
        cast(null as {{ dbt.type_string() }}) as region,
        cast(null as {{ dbt.type_string() }}) as city

)

select * from final
