-- One row per identified customer and day on which they ordered or sent something back.
with

ledger as (

    select * from {{ ref('fct_sales_ledger') }}
    where is_countable

),

orders as (

    select * from {{ ref('fct_orders') }}
    where
        is_countable
        and order_kind = 'sale'

),

customers as (

    select * from {{ ref('dim_customers') }}
    where
        customer_type not in ('anonymous', 'unknown')
        and not is_test

),

order_days as (

    select
        customer_key,
        order_date as activity_date,
        count(*) as orders
    from orders
    group by customer_key, order_date

),

money_days as (

    select
        customer_key,
        event_date as activity_date,
        sum(case when entry_type in ('sale', 'discount') then amount else 0 end) as demand_amount,
        -sum(case when entry_type = 'return' then amount else 0 end) as returns_amount
    from ledger
    where entry_type in ('sale', 'discount', 'return')
    group by customer_key, event_date

),

-- an order of nothing but gift cards has no money day, a return has no order day
days as (

    select
        customer_key,
        activity_date
    from order_days
    union
    select
        customer_key,
        activity_date
    from money_days

),

joined as (

    select
        days.customer_key,
        days.activity_date,
        coalesce(order_days.orders, 0) as orders,
        coalesce(money_days.demand_amount, 0) as demand_amount,
        coalesce(money_days.returns_amount, 0) as returns_amount
    from days
    inner join customers
        on days.customer_key = customers.customer_key
    left join order_days
        on
            days.customer_key = order_days.customer_key
            and days.activity_date = order_days.activity_date
    left join money_days
        on
            days.customer_key = money_days.customer_key
            and days.activity_date = money_days.activity_date

),

final as (

    select
        customer_key,
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(returns_amount as {{ type_money() }}) as returns_amount,
        cast(orders as {{ dbt.type_int() }}) as orders,
        orders > 0 as has_order,
        activity_date,
        max(case when orders > 0 then activity_date end) over (
            partition by customer_key
            order by activity_date asc
            rows between unbounded preceding and 1 preceding
        ) as previous_order_date
    from joined

)

select * from final
