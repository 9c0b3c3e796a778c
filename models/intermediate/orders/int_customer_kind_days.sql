-- One row per day: the sales of new, returning and unknown customers on it, and its anonymous orders.
--
-- Event basis: a refund stands on its own day, under new or returning as its order does.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['metric_date'],
    meta={
        'entity': 'day',
        'entity_column': 'metric_date',
        'touched_also': [
            'select event_date from {{ ref("fct_sales_ledger") }} where order_id in {{ touched("order", by="fct_orders") }}',
        ],
    },
) }}

with

ledger as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        is_countable
        and entry_type in ('sale', 'discount', 'return', 'shipping', 'tax')
        and event_date is not null
        and {{ is_touched('event_date') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where
        is_countable
        and is_new_customer is null
        and order_date is not null
        and {{ is_touched('order_date') }}

),

order_kinds as (

    select
        order_id,
        is_new_customer
    from {{ ref('fct_orders') }}
    where
        is_countable
        and is_new_customer is not null

),

-- the order decides, also for the refunds that it gets later
entries as (

    select
        ledger.event_date as metric_date,
        ledger.entry_type,
        ledger.amount,
        case
            when order_kinds.is_new_customer then 'new'
            when not order_kinds.is_new_customer then 'returning'
            else 'unknown'
        end as customer_kind
    from ledger
    left join order_kinds
        on ledger.order_id = order_kinds.order_id

),

money as (

    select
        metric_date,
        sum(amount) as total_sales_amount,
        sum(case when entry_type in ('sale', 'discount', 'return') then amount else 0 end) as net_sales_amount,
        {% for kind in ['new', 'returning', 'unknown'] -%}
        sum(case when customer_kind = '{{ kind }}' then amount else 0 end) as {{ kind }}_total_sales_amount,
        sum(
            case when customer_kind = '{{ kind }}' and entry_type in ('sale', 'discount', 'return') then amount else 0 end
        ) as {{ kind }}_net_sales_amount{{ ',' if not loop.last }}
        {% endfor -%}
    from entries
    group by metric_date

),

anonymous as (

    select
        order_date as metric_date,
        count(*) as anonymous_orders
    from orders
    group by order_date

),

days as (

    select metric_date
    from money
    union
    select metric_date
    from anonymous

),

final as (

    select
        {% for kind in ['', 'new_', 'returning_', 'unknown_'] -%}
        cast(coalesce(money.{{ kind }}total_sales_amount, 0) as {{ type_money() }}) as {{ kind }}total_sales_amount,
        cast(coalesce(money.{{ kind }}net_sales_amount, 0) as {{ type_money() }}) as {{ kind }}net_sales_amount,
        {% endfor -%}
        cast(coalesce(anonymous.anonymous_orders, 0) as {{ dbt.type_int() }}) as anonymous_orders,
        days.metric_date
    from days
    left join money
        on days.metric_date = money.metric_date
    left join anonymous
        on days.metric_date = anonymous.metric_date

)

select * from final
