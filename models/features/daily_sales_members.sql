-- One row per day of business, dimension and member on which anything happened: the parts of daily_sales.
--
-- Every day's members add up to its total in each dimension. What has no member of its own (shipping of an
-- order in the category) stands under '(order)'; what no order caused (advertising, overheads) is the
-- '(shared)' part of the profit.
{% set segmented_anew %}
    (
        select
            {{ dbt.dateadd('month', 1, 'months.entity_id') }} as first_date,
            {{ dbt.dateadd('month', 2, 'months.entity_id') }} as end_date
        from {{ touched('month', 'fct_customer_snapshot') }} as months
    )
{% endset %}
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['dimension', 'member', 'metric_date'],
    meta={
        'entity': 'day',
        'entity_column': 'metric_date',
        'touched_also': [
            "select order_date from {{ ref('fct_orders') }} where order_id in {{ touched('order') }}",
            "select event_date from {{ ref('fct_sales_ledger') }} where order_id in {{ touched('order') }}",
            "select orders.order_date from " ~ segmented_anew ~ " as months inner join {{ ref('fct_orders') }} as orders"
            " on orders.order_date >= months.first_date and orders.order_date < months.end_date",
            "select entries.event_date from " ~ segmented_anew ~ " as months"
            " inner join {{ ref('fct_sales_ledger') }} as entries"
            " on entries.order_date >= months.first_date and entries.order_date < months.end_date",
            "select entries.event_date from {{ ref('fct_sales_ledger') }} as entries"
            " inner join {{ ref('fct_order_items') }} as items on entries.order_id = items.order_id"
            " where items.product_key in {{ touched('sku_category') }}",
            "select order_date from {{ ref('fct_order_items') }} where product_key in {{ touched('sku_category') }}",
        ],
    },
) }}

{% set dimensions = ['category', 'country', 'segment'] %}

with

daily as (

    select * from {{ ref('daily_sales') }}
    where {{ is_touched('metric_date') }}

),

ledger as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        is_countable
        and {{ is_touched('event_date') }}

),

placed_orders as (

    select order_id from {{ ref('fct_orders') }}
    where {{ is_touched('order_date') }}

),

-- the orders of an entry may be older than the days at hand
wanted_orders as (

    select order_id from ledger

    union

    select order_id from placed_orders

),

orders as (

    select * from {{ ref('fct_orders') }}
    where order_id in (select order_id from wanted_orders)

),

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'
        and order_id in (select order_id from wanted_orders)

),

products as (

    select
        product_key,
        category
    from {{ ref('dim_products') }}

),

places as (

    select
        geography_key,
        country_code
    from {{ ref('dim_geography') }}

),

snapshots as (

    select
        customer_key,
        rfm_segment,
        cast({{ dbt.dateadd('month', 1, 'month_start_date') }} as date) as next_month_start_date
    from {{ ref('fct_customer_snapshot') }}

),

-- an order counts as a whole for the category that most of its money went to
category_amounts as (

    select
        items.order_id,
        products.category,
        sum(items.gross_sales_amount - items.discount_amount) as demand_amount
    from items
    left join products
        on items.product_key = products.product_key
    group by items.order_id, products.category

),

main_categories as (

    select
        order_id,
        category,
        row_number() over (
            partition by order_id
            order by demand_amount desc nulls last, category asc nulls last
        ) as category_rank
    from category_amounts

),

-- the segment that people were in before the month of the order: known when it came, as a forecast needs
described_orders as (

    select
        orders.order_id,
        coalesce(main_categories.category, '(order)') as category,
        coalesce(places.country_code, 'unknown') as country,
        case
            when snapshots.rfm_segment is not null then snapshots.rfm_segment
            when orders.is_new_customer is null then '(anonymous)'
            else '(new)'
        end as segment,
        orders.is_countable,
        orders.order_date
    from orders
    left join main_categories
        on
            orders.order_id = main_categories.order_id
            and main_categories.category_rank = 1
    left join places
        on orders.geography_key = places.geography_key
    left join snapshots
        on
            orders.customer_key = snapshots.customer_key
            and cast({{ dbt.date_trunc('month', 'orders.order_date') }} as date) = snapshots.next_month_start_date

),

-- summed up before they are described: there are several entries a line
money as (

    select
        ledger.order_id,
        case when ledger.order_item_key is null then '(order)' else products.category end as category,
        ledger.event_date as metric_date,
        sum(
            case
                when ledger.entry_type in ('sale', 'discount', 'return', 'shipping', 'tax') then ledger.amount
                else 0
            end
        ) as total_sales_amount,
        sum(
            case
                when
                    ledger.line_kind = 'merchandise'
                    and (
                        ledger.entry_type in ('sale', 'discount')
                        or (ledger.entry_type = 'return' and ledger.event_date = ledger.order_date)
                    )
                    then ledger.amount
                else 0
            end
        ) as product_sales_amount,
        sum(case when ledger.entry_type not in ('tax', 'gift_card') then ledger.amount else 0 end)
            as net_profit_amount
    from ledger
    left join products
        on ledger.product_key = products.product_key
    group by
        ledger.order_id,
        case when ledger.order_item_key is null then '(order)' else products.category end,
        ledger.event_date

),

members as (

    {% for dimension in dimensions -%}
    select
        '{{ dimension }}' as dimension,
        {{ 'money' if dimension == 'category' else 'described_orders' }}.{{ dimension }} as member,
        money.metric_date,
        sum(money.total_sales_amount) as total_sales_amount,
        sum(money.product_sales_amount) as product_sales_amount,
        sum(money.net_profit_amount) as net_profit_amount,
        0 as orders
    from money
    inner join described_orders
        on money.order_id = described_orders.order_id
    group by {{ 'money' if dimension == 'category' else 'described_orders' }}.{{ dimension }}, money.metric_date

    union all

    select
        '{{ dimension }}' as dimension,
        {{ dimension }} as member,
        order_date as metric_date,
        0 as total_sales_amount,
        0 as product_sales_amount,
        0 as net_profit_amount,
        count(*) as orders
    from described_orders
    where
        is_countable
        and {{ is_touched('order_date') }}
    group by {{ dimension }}, order_date

    {{ 'union all' if not loop.last }}
    {% endfor %}

),

summed as (

    select
        dimension,
        member,
        metric_date,
        sum(total_sales_amount) as total_sales_amount,
        sum(product_sales_amount) as product_sales_amount,
        sum(net_profit_amount) as net_profit_amount,
        sum(orders) as orders
    from members
    group by dimension, member, metric_date

),

profits as (

    select
        dimension,
        metric_date,
        sum(net_profit_amount) as net_profit_amount
    from summed
    group by dimension, metric_date

),

dimension_days as (

    {% for dimension in dimensions -%}
    select
        '{{ dimension }}' as dimension,
        metric_date,
        net_profit_amount
    from daily

    {{ 'union all' if not loop.last }}
    {% endfor %}

),

shared as (

    select
        dimension_days.dimension,
        '(shared)' as member,
        dimension_days.metric_date,
        0 as total_sales_amount,
        0 as product_sales_amount,
        dimension_days.net_profit_amount - coalesce(profits.net_profit_amount, 0) as net_profit_amount,
        0 as orders
    from dimension_days
    left join profits
        on
            dimension_days.dimension = profits.dimension
            and dimension_days.metric_date = profits.metric_date
    where dimension_days.net_profit_amount <> coalesce(profits.net_profit_amount, 0)

),

all_members as (

    select * from summed

    union all

    select * from shared

),

final as (

    select
        all_members.dimension,
        all_members.member,
        cast(all_members.total_sales_amount as {{ type_money() }}) as total_sales_amount,
        cast(all_members.product_sales_amount as {{ type_money() }}) as product_sales_amount,
        cast(all_members.net_profit_amount as {{ type_money() }}) as net_profit_amount,
        cast(all_members.orders as {{ dbt.type_int() }}) as orders,
        all_members.metric_date
    from all_members
    inner join daily
        on all_members.metric_date = daily.metric_date

)

select * from final
