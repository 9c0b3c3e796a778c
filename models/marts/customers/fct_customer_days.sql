-- One row per recognisable person and day on which they ordered or sent something back, with their state
-- at the end of that day.
--
-- Event basis: a return stands on its own day, so the state of a past day is what was known then. A state
-- holds until the person's next row. No column looks ahead: a new order changes no row of the months before.
-- Who asks only on which days people ordered is not touched by what came back.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['customer_day_key'],
    meta={
        'entity': 'customer',
        'entity_column': 'customer_key',
        'touches': {'month': 'month_start_date'},
        'narrow_touches': {
            'order_month': {'key': 'month_start_date', 'columns': ['has_order'], 'by': ['customer_day_key']},
        },
        'touched_also': [
            "select customer_key from {{ ref('fct_orders') }} where order_id in {{ touched('order') }}",
        ],
    },
) }}

with

ledger as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        is_countable
        and entry_type in ('sale', 'discount', 'return')
        and {{ is_touched('customer_key') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where
        is_countable
        and order_kind = 'sale'
        and {{ is_touched('customer_key') }}

),

-- who can be recognised, and is no test account
customers as (

    select customer_key
    from {{ ref('int_customers_resolved') }}
    where {{ is_touched('customer_key') }}
    group by customer_key
    having
        min(person_type) <> 'anonymous'
        and min(case when is_test then 1 else 0 end) = 0

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
        -sum(case when entry_type = 'return' then amount else 0 end) as returns_amount,
        -- a credit note that names no order has its own day for the order's
        -sum(case when entry_type = 'return' and order_date = event_date then amount else 0 end)
            as same_day_returns_amount
    from ledger
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
        coalesce(money_days.returns_amount, 0) as returns_amount,
        coalesce(money_days.same_day_returns_amount, 0) as same_day_returns_amount,
        case when order_days.orders > 0 then days.activity_date end as order_date
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
    -- a document without a usable date is in no history
    where days.activity_date is not null

),

states as (

    select
        *,
        count(order_date) over until_now as order_days_to_date,
        sum(orders) over until_now as orders_to_date,
        sum(demand_amount) over until_now as demand_to_date_amount,
        sum(returns_amount) over until_now as returns_to_date_amount,
        min(order_date) over until_now as first_order_date,
        max(order_date) over until_now as last_order_date,
        max(order_date) over (
            partition by customer_key
            order by activity_date asc nulls last
            rows between unbounded preceding and 1 preceding
        ) as previous_order_date
    from joined
    window
        until_now as (
            partition by customer_key
            order by activity_date asc nulls last
            rows between unbounded preceding and current row
        )

),

final as (

    select
        {{ surrogate_key(['customer_key', 'activity_date']) }} as customer_day_key,
        customer_key,
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(returns_amount as {{ type_money() }}) as returns_amount,
        cast(same_day_returns_amount as {{ type_money() }}) as same_day_returns_amount,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(demand_to_date_amount as {{ type_money() }}) as demand_to_date_amount,
        cast(returns_to_date_amount as {{ type_money() }}) as returns_to_date_amount,
        cast(demand_to_date_amount - returns_to_date_amount as {{ type_money() }}) as monetary_to_date_amount,
        cast(orders_to_date as {{ dbt.type_int() }}) as orders_to_date,
        cast(order_days_to_date as {{ dbt.type_int() }}) as order_days_to_date,
        orders > 0 as has_order,
        activity_date,
        cast({{ dbt.date_trunc('month', 'activity_date') }} as date) as month_start_date,
        first_order_date,
        last_order_date,
        previous_order_date
    from states

)

select * from final
