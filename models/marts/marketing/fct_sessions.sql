-- One row per web session document, bots among them. A session over midnight is one, of the day it began on.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['session_id'],
    meta={
        'entity': 'session',
        'entity_column': 'session_id',
        'touches': {'visitor': 'visitor_key', 'customer': 'customer_key', 'day': 'session_date'},
    },
) }}
with

sessions as (

    select * from {{ ref('int_sessions_grouped') }}
    where {{ is_touched('session_id') }}

),

final as (

    select
        session_id,
        visitor_key,
        coalesce(customer_key, '-1') as customer_key,
        {{ surrogate_key(["'web'", 'marketing_channel']) }} as channel_key,
        campaign_id,
        identity_rule,
        channel_rule,
        bot_rule,
        marketing_channel,
        device,
        os,
        country_code,
        landing_page,
        referrer,
        cast(event_count as {{ dbt.type_int() }}) as event_count,
        cast(page_views as {{ dbt.type_int() }}) as page_views,
        cast(product_views as {{ dbt.type_int() }}) as product_views,
        cast(searches as {{ dbt.type_int() }}) as searches,
        cast(cart_adds as {{ dbt.type_int() }}) as cart_adds,
        cast(checkouts as {{ dbt.type_int() }}) as checkouts,
        cast(purchases as {{ dbt.type_int() }}) as purchases,
        cast(order_count as {{ dbt.type_int() }}) as orders,
        cast(funnel_max_step as {{ dbt.type_int() }}) as funnel_max_step,
        cast(duration_seconds as {{ dbt.type_bigint() }}) as duration_seconds,
        is_bot,
        has_consent,
        is_shared_visitor,
        is_deleted,
        is_countable,
        session_date,
        started_at,
        ended_at
    from sessions

)

select * from final
