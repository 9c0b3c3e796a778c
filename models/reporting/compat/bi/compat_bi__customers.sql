-- One row per person.
{{ config(alias='customers') }}

with

customers as (

    select * from {{ ref('dim_customers') }}
    where customer_key <> '-1'

),

final as (

    select
        customer_key as customer_id,
        signup_date,
        country,
        region,
        city,
        shop_segment as segment,
        acquisition_channel,
        is_guest,
        first_order_date,
        last_order_date
    from customers

)

select * from final
