-- One row per step of a path: the channels that a person came through, one after another, to an order
-- or to nothing.
--
-- A path to an order is what int_order_paths holds. Actions in no order's window make paths that end
-- in nothing; a pause longer than the window begins a new one. Only recorded visits and clicks tell
-- what does not convert, so orders of which nothing but the tag is known train nothing. A channel
-- twice running is one step: a loop changes no chance of arriving.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['path_key', 'step_number'],
    meta={
        'entity': 'person',
        'entity_column': 'person_key',
        'touches': {'month': 'path_month'},
    },
    indexes=[{'columns': ['path_month']}, {'columns': ['person_key']}],
) }}
{% set window_days = attribution_window_days() %}

with

order_paths as (

    select * from {{ ref('int_order_paths') }}
    where
        touch_type <> 'none'
        and {{ is_touched('customer_key') }}

),

touches as (

    select * from {{ ref('int_touchpoints') }}
    where
        is_action
        and touch_type <> 'order_tag'
        and {{ is_touched('person_key') }}

),

recorded_orders as (

    select order_id
    from order_paths
    where touch_type <> 'order_tag'
    group by order_id

),

converting as (

    select
        'order:' || order_paths.order_id as path_key,
        order_paths.customer_key as person_key,
        order_paths.marketing_channel,
        order_paths.touch_position,
        1 as is_converting,
        order_paths.order_date as path_date
    from order_paths
    inner join recorded_orders
        on order_paths.order_id = recorded_orders.order_id

),

used_touches as (

    select touch_key
    from order_paths
    group by touch_key

),

unused as (

    select
        touches.touch_key,
        touches.person_key,
        touches.marketing_channel,
        touches.touched_at,
        touches.touch_date,
        lag(touches.touched_at) over (
            partition by touches.person_key
            order by touches.touched_at asc nulls last, touches.touch_key asc
        ) as previous_touched_at
    from touches
    left join used_touches
        on touches.touch_key = used_touches.touch_key
    where
        used_touches.touch_key is null
        and touches.touched_at is not null

),

begun as (

    select
        *,
        sum(
            case
                when previous_touched_at >= {{ dbt.dateadd('day', -window_days, 'touched_at') }} then 0
                else 1
            end
        ) over (
            partition by person_key
            order by touched_at asc nulls last, touch_key asc
            rows between unbounded preceding and current row
        ) as path_number
    from unused

),

not_converting as (

    select
        'none:' || person_key || ':' || cast(path_number as {{ dbt.type_string() }}) as path_key,
        person_key,
        marketing_channel,
        row_number() over (
            partition by person_key, path_number
            order by touched_at asc nulls last, touch_key asc
        ) as touch_position,
        0 as is_converting,
        max(touch_date) over (partition by person_key, path_number) as path_date
    from begun

),

unioned as (

    select * from converting
    union all
    select * from not_converting

),

compared as (

    select
        *,
        lag(marketing_channel) over (partition by path_key order by touch_position asc) as previous_channel
    from unioned

),

changed as (

    select
        path_key,
        person_key,
        is_converting,
        path_date,
        marketing_channel,
        row_number() over (partition by path_key order by touch_position asc) as step_number,
        lag(marketing_channel) over (partition by path_key order by touch_position asc) as from_channel,
        lead(marketing_channel) over (partition by path_key order by touch_position asc) as next_channel
    from compared
    where previous_channel is null or previous_channel <> marketing_channel

),

steps as (

    select
        path_key,
        person_key,
        is_converting,
        path_date,
        step_number,
        coalesce(from_channel, 'start') as from_state,
        marketing_channel as to_state
    from changed

    union all

    select
        path_key,
        person_key,
        is_converting,
        path_date,
        step_number + 1 as step_number,
        marketing_channel as from_state,
        case when is_converting = 1 then 'conversion' else 'null' end as to_state
    from changed
    where next_channel is null

),

final as (

    select
        path_key,
        person_key,
        from_state,
        to_state,
        cast(step_number as {{ dbt.type_int() }}) as step_number,
        is_converting = 1 as is_converting,
        cast({{ dbt.date_trunc('month', 'path_date') }} as date) as path_month
    from steps

)

select * from final
