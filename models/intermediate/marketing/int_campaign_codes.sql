-- One row per code that a utm_campaign tag may hold: a campaign's name or id, and which campaign it means.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['campaign_code'],
    meta={
        'touches': {'campaign': 'campaign_id', 'campaign_code': 'campaign_code'},
    },
) }}
with

campaigns as (

    select * from {{ ref('stg_shop__campaigns') }}

),

codes as (

    select
        campaign_id,
        {{ campaign_code('campaign_name') }} as campaign_code,
        1 as code_rank,
        is_deleted,
        starts_at
    from campaigns
    where campaign_name is not null

    union all

    select
        campaign_id,
        {{ campaign_code('campaign_id') }} as campaign_code,
        2 as code_rank,
        is_deleted,
        starts_at
    from campaigns

),

-- a name used twice means the campaign that started last
ranked as (

    select
        campaign_code,
        campaign_id,
        row_number() over (
            partition by campaign_code
            order by
                code_rank asc,
                case when is_deleted then 1 else 0 end asc,
                starts_at desc nulls last,
                campaign_id asc
        ) as campaign_rank
    from codes

),

final as (

    select
        campaign_code,
        campaign_id
    from ranked
    where campaign_rank = 1

)

select * from final
