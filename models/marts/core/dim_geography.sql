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

    select * from {{ ref('int_order_places') }}

),

countries as (

    select * from {{ ref('countries') }}

),

distinct_places as (

    select
        geography_key,
        country_code,
        region,
        city
    from places
    where geography_key <> '-1'
    group by geography_key, country_code, region, city

),

final as (

    select
        distinct_places.geography_key,
        distinct_places.country_code,
        coalesce(countries.country_name, distinct_places.country_code, 'Unknown') as country_name,
        distinct_places.region,
        distinct_places.city
    from distinct_places
    left join countries
        on distinct_places.country_code = countries.country_code

    union all

    select
        '-1' as geography_key,
        cast(null as {{ dbt.type_string() }}) as country_code,
        'Unknown' as country_name,
        cast(null as {{ dbt.type_string() }}) as region,
        cast(null as {{ dbt.type_string() }}) as city

)

select * from final
