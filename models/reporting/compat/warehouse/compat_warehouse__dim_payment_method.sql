-- One row per payment method, plus the unknown member.
{{ config(alias='dim_payment_method') }}

with

methods as (

    select * from {{ ref('dim_payment_methods') }}

),

final as (

    select
        payment_method_key,
        payment_method,
        payment_method_kind,
        is_digital
    from methods

)

select * from final
