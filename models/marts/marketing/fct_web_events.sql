-- One row per event of a web session, in the order in which it was recorded.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['web_event_key'],
    meta={
        'entity': 'session',
        'entity_column': 'session_id',
        'touches': {'product': 'product_id'},
    },
) }}
with

events as (

    select * from {{ ref('stg_shop__session_events') }}
    where {{ is_touched('session_id') }}

),

final as (

    select
        {{ surrogate_key(['session_id', 'event_position']) }} as web_event_key,
        session_id,
        event_type,
        product_id,
        order_id,
        cast(event_position as {{ dbt.type_int() }}) as event_position,
        cast({{ funnel_step('event_type') }} as {{ dbt.type_int() }}) as funnel_step,
        cast(quantity as {{ type_money() }}) as quantity,
        cast(value as {{ type_money() }}) as event_value,
        is_deleted,
        {{ local_date('event_at') }} as event_date,
        event_at
    from events

)

select * from final
