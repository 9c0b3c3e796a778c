-- One row per campaign and day: what was spent, in the store's currency, and what the platform claims.
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

    select * from {{ ref('stg_shop__campaign_days') }}

),

campaigns as (

    select * from {{ ref('stg_shop__campaigns') }}

),

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

-- one document a campaign and day: the one that was not deleted, then the larger spend, counts
ranked as (

    select
        *,
        row_number() over (
            partition by campaign_id, spend_date
            order by
                case when is_deleted then 1 else 0 end asc,
                spend desc nulls last,
                campaign_day_id asc
        ) as day_rank
    from days
    where spend_date is not null

),

converted as (

    select
        ranked.*,
        coalesce(upper(trim(campaigns.currency)), {{ store_currency() }}) as currency,
        case
            when coalesce(upper(trim(campaigns.currency)), {{ store_currency() }}) = {{ store_currency() }} then 1
            else rates.rate_to_store_currency
        end as fx_rate
    from ranked
    left join campaigns
        on ranked.campaign_id = campaigns.campaign_id
    left join rates
        on
            upper(trim(campaigns.currency)) = rates.currency
            and ranked.spend_date >= rates.valid_from
            and (ranked.spend_date < rates.valid_until or rates.valid_until is null)
    where
        ranked.day_rank = 1
        and not ranked.is_deleted

),

final as (

    select
        campaign_day_id,
        campaign_id,
        currency,
        fx_rate,
        {{ to_store_currency('coalesce(spend, 0)') }} as spend_amount,
        impressions,
        clicks,
        platform_conversions,
        platform_revenue,
        {{ to_store_currency('coalesce(platform_revenue, 0)') }} as platform_revenue_amount,
        fx_rate is null as is_rate_unknown,
        spend_date
    from converted

)

select * from final
