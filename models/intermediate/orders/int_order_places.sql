-- One row per order document: the place it was sent to.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
    },
    indexes=[{'columns': ['geography_key']}],
) }}

with

orders as (

    select * from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

cleaned as (

    select
        order_id,
        upper(nullif(trim(ship_country), '')) as country_code,
        nullif(trim(ship_region), '') as region,
        nullif(trim(ship_city), '') as city
    from orders

),

final as (

    select
        order_id,
        case
            when country_code is null and region is null and city is null then '-1'
            else {{ surrogate_key(['country_code', 'region', 'city']) }}
        end as geography_key,
        country_code,
        region,
        city
    from cleaned

)

select * from final
