-- One row per order document: the place it was sent to.
with

orders as (

    select * from {{ ref('stg_shop__orders') }}

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
