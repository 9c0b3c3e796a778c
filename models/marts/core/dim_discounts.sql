-- One row per discount code and kind that any order used, plus the unknown member '-1'.
--
-- What was given without a code (a price match, an automatic offer) is one member a kind.
with

order_discounts as (

    select * from {{ ref('stg_shop__order_discounts') }}

),

line_discounts as (

    select * from {{ ref('stg_shop__order_item_discounts') }}

),

orders as (

    select * from {{ ref('int_orders_classified') }}
    where is_countable

),

uses as (

    select
        order_id,
        nullif(upper(trim(code)), '') as discount_code,
        coalesce(kind, 'unknown') as discount_kind,
        'order' as discount_level
    from order_discounts

    union all

    select
        order_id,
        nullif(upper(trim(code)), '') as discount_code,
        coalesce(kind, 'unknown') as discount_kind,
        'line' as discount_level
    from line_discounts

),

final as (

    select
        {{ surrogate_key(['uses.discount_code', 'uses.discount_kind', 'uses.discount_level']) }} as discount_key,
        coalesce(uses.discount_code, 'No code') as discount_code,
        uses.discount_kind,
        uses.discount_level,
        cast(count(distinct orders.order_id) as {{ dbt.type_int() }}) as orders,
        uses.discount_code is not null as is_coded,
        min(orders.order_date) as first_used_date,
        max(orders.order_date) as last_used_date
    from uses
    left join orders
        on uses.order_id = orders.order_id
    group by uses.discount_code, uses.discount_kind, uses.discount_level

    union all

    select
        '-1' as discount_key,
        'No discount' as discount_code,
        'none' as discount_kind,
        'none' as discount_level,
        0 as orders,
        false as is_coded,
        cast(null as date) as first_used_date,
        cast(null as date) as last_used_date

)

select * from final
