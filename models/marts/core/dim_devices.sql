-- One row per kind of device that any order or session names, plus the unknown member '-1'.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['device_key'],
    meta={
        'touches': {'device': 'device_key'},
    },
) }}

with

orders as (

    {{ distinct_rows(ref('stg_shop__orders'), 'device') }}

),

sessions as (

    {{ distinct_rows(ref('stg_shop__sessions'), 'device') }}

),

devices as (

    select device from orders

    union

    select device from sessions

),

final as (

    select
        {{ surrogate_key(['device']) }} as device_key,
        device,
        device in ('mobile', 'phone', 'smartphone', 'tablet') as is_handheld
    from devices

    union all

    select
        '-1' as device_key,
        'unknown' as device,
        cast(null as {{ dbt.type_boolean() }}) as is_handheld

)

select * from final
