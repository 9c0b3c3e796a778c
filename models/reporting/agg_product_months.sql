-- One row per product and month with sales or returns: sums alone, from which performance and portfolio are made.
--
-- Measures without a prefix are of the month of the event (a refund in the month of the refund), as in the
-- ledger. cohort_ measures follow what was sold in the month, whenever it came back. What no product is
-- known for stands under the product '-1', so that sums over products are the shop's.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_month_key'],
    meta={
        'entity': 'month',
        'entity_column': 'month_start_date',
        'touched_also': [
            'select {{ dbt.date_trunc("month", "cast(days.entity_id as date)") }} from {{ touched("day") }} as days',
            'select {{ dbt.date_trunc("month", "event_date") }} from {{ ref("fct_sales_ledger") }}'
            ' where product_key in {{ touched("sku_owner") }}',
        ],
    },
) }}

with

ledger as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        is_countable
        and entry_type in ('sale', 'discount', 'return', 'cogs', 'cogs_return')
        and {{ is_touched('event_date', by_day=true) }}

),

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'
        and {{ is_touched('order_date', by_day=true) }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where {{ is_touched('order_date', by_day=true) }}

),

products as (

    select * from {{ ref('int_skus_owned') }}

),

events as (

    select
        products.product_id,
        cast({{ dbt.date_trunc('month', 'ledger.event_date') }} as date) as month_start_date,
        sum(case when ledger.entry_type = 'sale' then ledger.quantity else 0 end) as units,
        -sum(case when ledger.entry_type = 'return' then ledger.quantity else 0 end) as returned_units,
        sum(case when ledger.entry_type = 'sale' then ledger.amount else 0 end) as gross_sales_amount,
        -sum(case when ledger.entry_type = 'discount' then ledger.amount else 0 end) as discount_amount,
        -sum(case when ledger.entry_type = 'return' then ledger.amount else 0 end) as returns_amount,
        -sum(case when ledger.entry_type in ('cogs', 'cogs_return') then ledger.amount else 0 end) as cogs_amount
    from ledger
    inner join products
        on ledger.product_key = products.product_key
    where ledger.event_date is not null
    group by products.product_id, cast({{ dbt.date_trunc('month', 'ledger.event_date') }} as date)

),

-- costs and charges of an order are shared out by what its lines were sold for
shared as (

    select
        items.product_key,
        items.order_id,
        items.order_date,
        items.quantity,
        items.returned_quantity,
        items.gross_sales_amount - items.discount_amount as demand_amount,
        items.returns_amount,
        items.net_sales_amount - coalesce(items.cogs_amount, 0) as gross_profit_amount,
        case
            when items.unit_cost_amount is not null then items.gross_sales_amount - items.discount_amount
            else 0
        end as costed_demand_amount,
        case
            when orders.gross_sales_amount <> orders.discount_amount
                then
                    (orders.shipping_amount - orders.variable_cost_amount)
                    * (items.gross_sales_amount - items.discount_amount)
                    / (orders.gross_sales_amount - orders.discount_amount)
            else 0
        end as order_share_amount
    from items
    inner join orders
        on items.order_id = orders.order_id

),

cohorts as (

    select
        products.product_id,
        cast({{ dbt.date_trunc('month', 'shared.order_date') }} as date) as month_start_date,
        count(distinct shared.order_id) as orders,
        count(distinct case when shared.returned_quantity > 0 then shared.order_id end) as cohort_returned_orders,
        sum(coalesce(shared.quantity, 0)) as cohort_units,
        sum(shared.returned_quantity) as cohort_returned_units,
        sum(shared.demand_amount) as cohort_demand_amount,
        sum(shared.returns_amount) as cohort_returns_amount,
        sum(shared.costed_demand_amount) as cohort_costed_demand_amount,
        sum(shared.gross_profit_amount) as cohort_gross_profit_amount,
        sum(shared.gross_profit_amount + shared.order_share_amount) as cohort_contribution_amount
    from shared
    inner join products
        on shared.product_key = products.product_key
    where shared.order_date is not null
    group by products.product_id, cast({{ dbt.date_trunc('month', 'shared.order_date') }} as date)

),

final as (

    select
        {{ surrogate_key([
            'coalesce(events.product_id, cohorts.product_id)',
            'coalesce(events.month_start_date, cohorts.month_start_date)'
        ]) }} as product_month_key,
        coalesce(events.product_id, cohorts.product_id) as product_id,
        cast(coalesce(cohorts.orders, 0) as {{ dbt.type_int() }}) as orders,
        cast(coalesce(cohorts.cohort_returned_orders, 0) as {{ dbt.type_int() }}) as cohort_returned_orders,
        {% for measure in ['units', 'returned_units', 'gross_sales_amount', 'discount_amount', 'returns_amount'] -%}
        cast(coalesce(events.{{ measure }}, 0) as {{ type_money() }}) as {{ measure }},
        {% endfor -%}
        cast(
            coalesce(events.gross_sales_amount - events.discount_amount - events.returns_amount, 0)
            as {{ type_money() }}
        ) as net_sales_amount,
        cast(coalesce(events.cogs_amount, 0) as {{ type_money() }}) as cogs_amount,
        {% for measure in [
            'cohort_units', 'cohort_returned_units', 'cohort_demand_amount', 'cohort_returns_amount',
            'cohort_costed_demand_amount', 'cohort_gross_profit_amount', 'cohort_contribution_amount',
        ] -%}
        cast(coalesce(cohorts.{{ measure }}, 0) as {{ type_money() }}) as {{ measure }},
        {% endfor -%}
        coalesce(events.month_start_date, cohorts.month_start_date) as month_start_date
    from events
    full outer join cohorts
        on
            events.product_id = cohorts.product_id
            and events.month_start_date = cohorts.month_start_date

)

select * from final
