-- One row per countable order up to the last complete day: what makes an order unlike others.
with

orders as (

    select * from {{ ref('fct_orders') }}
    where
        is_countable
        and order_date <= {{ as_of_date() }}

),

final as (

    select
        order_id,
        -- anonymous buyers are nobody in particular
        case when customer_key <> '-1' then customer_key end as customer_key,
        cast(gross_sales_amount - discount_amount as {{ type_money() }}) as demand_amount,
        cast(gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(discount_amount as {{ type_money() }}) as discount_amount,
        cast(units as {{ dbt.type_int() }}) as units,
        cast(line_count as {{ dbt.type_int() }}) as order_lines,
        order_date,
        placed_at
    from orders

)

select * from final
