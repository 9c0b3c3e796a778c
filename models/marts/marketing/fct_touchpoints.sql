-- One row per contact of a person or visitor with the shop's marketing: visits, clicks without a recorded
-- visit, impressions, messages sent and opened, and tags of orders whose visit was not recorded.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['touch_key'],
    meta={
        'entity': 'touch',
        'entity_column': 'touch_key',
        'touches': {'customer': 'customer_key', 'day': 'touch_date', 'campaign': 'campaign_id'},
    },
) }}
with

touches as (

    select * from {{ ref('int_touchpoints') }}
    where {{ is_touched('touch_key') }}

),

final as (

    select
        touch_key,
        touch_type,
        session_id,
        order_id,
        visitor_key,
        coalesce(customer_key, '-1') as customer_key,
        person_key,
        campaign_id,
        {{ surrogate_key(["'web'", 'marketing_channel']) }} as channel_key,
        identity_rule,
        marketing_channel,
        device,
        country_code,
        cost_amount,
        is_action,
        touch_date,
        touched_at
    from touches

)

select * from final
