-- One row per campaign: the marketing channel of its visits, and the currency of its bills.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['campaign_id'],
    meta={
        'touches': {'campaign': 'campaign_id'},
    },
) }}

with

campaigns as (

    select * from {{ ref('stg_shop__campaigns') }}

),

final as (

    select
        campaign_id,
        {{ campaign_marketing_channel('channel') }} as marketing_channel,
        coalesce(upper(trim(currency)), {{ store_currency() }}) as currency
    from campaigns

)

select * from final
