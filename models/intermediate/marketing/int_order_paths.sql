-- One row per countable order and action of its buyer in the days before it; orders without any have
-- one row for 'no touch'.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id', 'touch_key'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touches': {'person': 'customer_key'},
        'touched_also': [
            "select order_id from {{ this }} where customer_key in {{ touched('customer', 'int_touchpoints') }}",
        ],
    },
    indexes=[{'columns': ['order_id']}, {'columns': ['customer_key']}, {'columns': ['order_month']}],
) }}
{% set window_days = attribution_window_days() %}

with

orders as (

    select
        order_id,
        customer_key,
        order_date,
        ordered_at
    from {{ ref('int_orders_classified') }}
    where
        is_countable
        and {{ is_touched('order_id') }}

),

channels as (

    select * from {{ ref('int_order_channels') }}
    where {{ is_touched('order_id') }}

),

touches as (

    select * from {{ ref('int_touchpoints') }}
    where
        is_action
        and {{ is_in_few('customer_key', 'select customer_key from orders') }}

),

-- the window's border belongs to it, and so does the moment of the order
touched as (

    select
        orders.order_id,
        orders.customer_key,
        touches.touch_key,
        touches.touch_type,
        touches.campaign_id,
        touches.marketing_channel,
        touches.touched_at,
        orders.order_date,
        {{ dbt.datediff('touches.touched_at', 'orders.ordered_at', 'second') }} as seconds_before
    from orders
    inner join touches
        on
            orders.customer_key = touches.customer_key
            and touches.touched_at <= orders.ordered_at
            and touches.touched_at >= {{ dbt.dateadd('day', -window_days, 'orders.ordered_at') }}
    where
        -- the tag of one order says nothing of another's visit
        (touches.touch_type <> 'order_tag' or touches.order_id = orders.order_id)

),

untouched as (

    select
        orders.order_id,
        orders.customer_key,
        'none' as touch_key,
        'none' as touch_type,
        '-1' as campaign_id,
        -- tills and marketplaces have no visits; of the others nobody knows: they came directly
        case when channels.marketing_channel = 'offline' then 'offline' else 'direct' end as marketing_channel,
        cast(null as {{ dbt.type_timestamp() }}) as touched_at,
        orders.order_date,
        0 as seconds_before
    from orders
    left join channels
        on orders.order_id = channels.order_id
    left join touched
        on orders.order_id = touched.order_id
    where touched.order_id is null

),

unioned as (

    select * from touched
    union all
    select * from untouched

),

final as (

    select
        order_id,
        customer_key,
        touch_key,
        touch_type,
        campaign_id,
        marketing_channel,
        cast(seconds_before as {{ dbt.type_bigint() }}) as seconds_before,
        cast(
            row_number() over (
                partition by order_id
                order by touched_at asc nulls last, touch_key asc
            ) as {{ dbt.type_int() }}
        ) as touch_position,
        cast(count(*) over (partition by order_id) as {{ dbt.type_int() }}) as touch_count,
        -- the last action that was not a direct visit; of direct visits alone, the last
        cast(
            row_number() over (
                partition by order_id
                order by
                    case when marketing_channel = 'direct' then 1 else 0 end asc,
                    touched_at desc nulls last,
                    touch_key desc nulls last
            ) as {{ dbt.type_int() }}
        ) as non_direct_rank,
        order_date,
        cast({{ dbt.date_trunc('month', 'order_date') }} as date) as order_month,
        touched_at
    from unioned

)

select * from final
