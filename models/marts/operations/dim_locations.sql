-- One row per place that keeps stock, plus the unknown member '-1'.
with

counted as (

    select * from {{ ref('stg_shop__product_stock') }}

),

months as (

    select * from {{ ref('fct_inventory_monthly') }}

),

seen as (

    select location as location_key
    from counted
    where location is not null

    union

    select location_key
    from months
    where location_key <> '-1'

),

described as (

    select
        location_key,
        replace(location_key, '_', ' ') as location_name,
        false as is_unknown
    from seen

),

final as (

    select * from described
    union all
    select
        '-1' as location_key,
        'Unknown location' as location_name,
        true as is_unknown

)

select * from final
