-- One row per advertising campaign, plus the unknown member '-1'.
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
        campaign_name,
        channel as campaign_channel,
        {{ campaign_marketing_channel('channel') }} as marketing_channel,
        objective,
        currency,
        status,
        cast(budget as {{ type_money() }}) as budget,
        {{ channel_rules_version() }} as channel_rules_version,
        is_deleted,
        {{ local_date('starts_at') }} as start_date,
        {{ local_date('ends_at') }} as end_date
    from campaigns

    union all

    select
        '-1' as campaign_id,
        'No or unknown campaign' as campaign_name,
        cast(null as {{ dbt.type_string() }}) as campaign_channel,
        'unknown' as marketing_channel,
        cast(null as {{ dbt.type_string() }}) as objective,
        cast(null as {{ dbt.type_string() }}) as currency,
        cast(null as {{ dbt.type_string() }}) as status,
        cast(null as {{ type_money() }}) as budget,
        {{ channel_rules_version() }} as channel_rules_version,
        false as is_deleted,
        cast(null as date) as start_date,
        cast(null as date) as end_date

)

select * from final
