-- One row per recognisable person with an order: what was known of them by the first one, and what was
-- earned with them so far.
{{ config(materialized='view', meta={'tested': 'weekly'}) }}

with

lifetimes as (

    select * from {{ ref('fct_customer_lifetimes') }}

),

rfm as (

    select * from {{ ref('customer_rfm') }}
    where is_latest

),

final as (

    select
        rfm.customer_key,
        lifetimes.first_category,
        lifetimes.first_channel,
        lifetimes.first_country,
        case
            when lifetimes.is_first_discounted then 'yes'
            when not lifetimes.is_first_discounted then 'no'
        end as first_order_discounted,
        lifetimes.net_sales_amount as net_amount,
        lifetimes.cm2_amount as margin_amount,
        lifetimes.demand_amount,
        lifetimes.costed_demand_amount
    from rfm
    inner join lifetimes
        on rfm.customer_key = lifetimes.customer_key

)

select * from final
