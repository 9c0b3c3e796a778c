-- One row per order document: through which sales and marketing channel it came, and which campaign.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touches': {'campaign': 'campaign_id', 'channel': 'channel_key', 'session': 'session_id'},
        'touched_also': [
            "select order_id from {{ this }} where campaign_code in {{ touched('campaign_code') }}",
        ],
    },
    indexes=[
        {'columns': ['session_id']},
        {'columns': ['touch_key']},
        {'columns': ['campaign_code']},
        {'columns': ['channel_key']},
    ],
) }}

with

orders as (

    select * from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

codes as (

    select * from {{ ref('int_campaign_codes') }}

),

tagged as (

    select
        order_id,
        session_id,
        coalesce(device, 'unknown') as device,
        upper(ship_country) as country_code,
        coalesce(lower(trim(channel)), 'unknown') as sales_channel,
        -- tags belong to visits; a till or a marketplace has none
        case
            when lower(trim(channel)) in ('pos', 'marketplace') then 'offline'
            else {{ marketing_channel('utm_source', 'utm_medium') }}
        end as marketing_channel,
        {{ campaign_code('utm_campaign') }} as campaign_code
    from orders

),

final as (

    select
        tagged.order_id,
        'order:' || tagged.order_id as touch_key,
        tagged.session_id,
        {{ surrogate_key(['tagged.sales_channel', 'tagged.marketing_channel']) }} as channel_key,
        tagged.sales_channel,
        tagged.marketing_channel,
        tagged.device,
        tagged.country_code,
        tagged.campaign_code,
        coalesce(codes.campaign_id, '-1') as campaign_id,
        tagged.campaign_code is not null
        and codes.campaign_id is null as is_campaign_unknown
    from tagged
    left join codes
        on tagged.campaign_code = codes.campaign_code

)

select * from final
