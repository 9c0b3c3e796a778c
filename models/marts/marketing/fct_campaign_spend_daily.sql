-- One row per campaign and day: what it cost in the store's currency, and what its platform claims.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['campaign_id', 'spend_date'],
    meta={
        'touches': {'campaign': 'campaign_id', 'day': 'spend_date'},
    },
) }}
with

days as (

    select * from {{ ref('int_campaign_days_converted') }}

),

campaigns as (

    select * from {{ ref('int_campaigns_grouped') }}

),

final as (

    select
        days.campaign_id,
        days.currency,
        coalesce(campaigns.marketing_channel, 'unknown') as marketing_channel,
        cast(days.fx_rate as numeric(20, 8)) as fx_rate,
        cast(days.spend_amount as {{ type_money() }}) as spend_amount,
        cast(days.impressions as {{ dbt.type_bigint() }}) as impressions,
        cast(days.clicks as {{ dbt.type_bigint() }}) as clicks,
        cast(days.platform_conversions as {{ type_money() }}) as platform_conversions,
        cast(days.platform_revenue_amount as {{ type_money() }}) as platform_revenue_amount,
        days.is_rate_unknown,
        days.spend_date
    from days
    left join campaigns
        on days.campaign_id = campaigns.campaign_id

)

select * from final
