-- One row per ordered pair of SKUs that were bought together: who bought the one, how often took the other?
--
-- Over the orders of a window that ends with the last complete day, so its cost does not grow with history.
-- Very large baskets are wholesale: they hold everything beside everything and are left out.
{% set window_days = var('pair_window_days', 730) %}

with

items as (

    select * from {{ ref('fct_order_items') }}
    where
        is_countable
        and measure = 'sale'
        and line_kind = 'merchandise'
        and product_key <> '-1'
        and quantity > 0

),

products as (

    select * from {{ ref('dim_products') }}

),

lines as (

    select distinct
        order_id,
        product_key
    from items
    where
        order_date > {{ dbt.dateadd('day', -window_days, as_of_date()) }}
        and order_date <= {{ as_of_date() }}

),

sized as (

    select
        order_id,
        product_key,
        count(*) over (partition by order_id) as basket_size
    from lines

),

baskets as (

    select
        order_id,
        product_key,
        basket_size
    from sized
    where basket_size <= {{ var('pair_largest_basket', 50) }}

),

totals as (

    select count(distinct order_id) as orders
    from baskets

),

product_orders as (

    select
        product_key,
        count(*) as orders
    from baskets
    group by product_key

),

pairs as (

    select
        baskets.product_key as first_key,
        others.product_key as second_key,
        count(*) as orders_with_both
    from baskets
    inner join baskets as others
        on
            baskets.order_id = others.order_id
            and baskets.product_key < others.product_key
    where baskets.basket_size > 1
    group by baskets.product_key, others.product_key
    having count(*) >= {{ var('pair_least_orders', 5) }}

),

directed as (

    select
        first_key as product_key,
        second_key as other_product_key,
        orders_with_both
    from pairs

    union all

    select
        second_key as product_key,
        first_key as other_product_key,
        orders_with_both
    from pairs

),

measured as (

    select
        directed.product_key,
        directed.other_product_key,
        directed.orders_with_both,
        product_orders.orders as product_orders,
        other_orders.orders as other_product_orders,
        totals.orders as total_orders,
        directed.orders_with_both * 1.0 / totals.orders as support,
        directed.orders_with_both * 1.0 / product_orders.orders as confidence,
        directed.orders_with_both * 1.0 * totals.orders / product_orders.orders / other_orders.orders as lift,
        product_orders.orders * 1.0 * other_orders.orders / totals.orders as expected_orders
    from directed
    inner join product_orders
        on directed.product_key = product_orders.product_key
    inner join product_orders as other_orders
        on directed.other_product_key = other_orders.product_key
    cross join totals

),

final as (

    select
        {{ surrogate_key(['measured.product_key', 'measured.other_product_key']) }} as product_pair_key,
        measured.product_key,
        measured.other_product_key,
        products.sku,
        others.sku as other_sku,
        products.product_id,
        others.product_id as other_product_id,
        products.product_name,
        others.product_name as other_product_name,
        products.category,
        others.category as other_category,
        cast(measured.orders_with_both as {{ dbt.type_int() }}) as orders_with_both,
        cast(measured.product_orders as {{ dbt.type_int() }}) as product_orders,
        cast(measured.other_product_orders as {{ dbt.type_int() }}) as other_product_orders,
        cast(measured.total_orders as {{ dbt.type_int() }}) as total_orders,
        cast(measured.support as numeric(20, 6)) as support,
        cast(measured.confidence as numeric(20, 6)) as confidence,
        cast(measured.lift as numeric(20, 6)) as lift,
        -- how many standard deviations more than chance: a lift of 20 on two orders says little
        cast(
            (measured.orders_with_both - measured.expected_orders) / sqrt(measured.expected_orders) as numeric(20, 6)
        ) as surprise,
        cast(
            row_number() over (
                partition by measured.product_key
                order by measured.confidence desc nulls last, measured.lift desc nulls last, measured.other_product_key asc
            ) as {{ dbt.type_int() }}
        ) as pair_rank,
        products.product_id = others.product_id as is_same_product,
        products.category <> others.category as is_cross_category
    from measured
    inner join products
        on measured.product_key = products.product_key
    inner join products as others
        on measured.other_product_key = others.product_key

)

select * from final
