-- One row: the year of the last complete business date.
--
-- What depends on the year alone (ages) reads this and not the clock: it is computed anew once a year, and
-- then all of it.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['as_of_year'],
    meta={'touches': {'*': 'as_of_year'}},
) }}

with

final as (

    select coalesce(cast(extract(year from {{ as_of_date() }}) as {{ dbt.type_int() }}), 0) as as_of_year

)

select * from final
