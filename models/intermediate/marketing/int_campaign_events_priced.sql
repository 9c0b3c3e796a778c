-- One row per campaign event document of a person or visitor: whose it was, and what it cost in the store's currency.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['event_id'],
    meta={
        'entity': 'event',
        'entity_column': 'event_id',
        'touches': {'session': 'session_id', 'visitor': 'visitor_key', 'identity': 'identity_id'},
        'touched_also': [
            "select event_id from {{ this }} where campaign_id in {{ touched('campaign') }}",
            "select event_id from {{ this }} where rate_key in {{ touched('rate') }}",
            """
            select event_id from {{ this }}
            where is_rate_unknown and exists (select 1 from {{ touched('rate') }} as rates)
            """,
        ],
    },
    indexes=[{'columns': ['event_id']}, {'columns': ['session_id']}, {'columns': ['visitor_key']}, {'columns': ['identity_id']}, {'columns': ['campaign_id']}, {'columns': ['touch_key']}, {'columns': ['rate_key']}],
) }}

with

events as (

    select
        event_id,
        campaign_id,
        event_type,
        case when user_id is not null then 'account:' || user_id end as identity_id,
        {{ visitor_key('visitor_id', 'event_id') }} as visitor_key,
        session_id,
        coalesce(device, 'unknown') as device,
        upper(country) as country_code,
        cost,
        event_at,
        {{ local_date('event_at') }} as event_date
    from {{ ref('stg_shop__campaign_events') }}
    where
        not is_deleted
        and event_type <> 'spend'
        and (user_id is not null or visitor_id is not null)
        and {{ is_touched('event_id') }}

),

campaigns as (

    select * from {{ ref('int_campaigns_grouped') }}

),

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

joined as (

    select
        events.*,
        coalesce(campaigns.marketing_channel, 'other') as marketing_channel,
        coalesce(campaigns.currency, {{ store_currency() }}) as currency,
        rates.rate_key,
        case
            when coalesce(campaigns.currency, {{ store_currency() }}) = {{ store_currency() }} then 1
            else rates.rate_to_store_currency
        end as fx_rate
    from events
    left join campaigns
        on events.campaign_id = campaigns.campaign_id
    left join rates
        on
            campaigns.currency = rates.currency
            and events.event_date >= rates.valid_from
            and (events.event_date < rates.valid_until or rates.valid_until is null)

),

final as (

    select
        event_id,
        'event:' || event_id as touch_key,
        coalesce(campaign_id, '-1') as campaign_id,
        event_type,
        identity_id,
        visitor_key,
        session_id,
        marketing_channel,
        device,
        country_code,
        currency,
        rate_key,
        {{ to_store_currency('coalesce(cost, 0)') }} as cost_amount,
        fx_rate is null as is_rate_unknown,
        event_date,
        event_at
    from joined

)

select * from final
