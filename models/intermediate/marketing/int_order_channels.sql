-- One row per order document: through which sales and marketing channel it came, and which campaign.
with

orders as (

    select * from {{ ref('stg_shop__orders') }}

),

campaigns as (

    select * from {{ ref('stg_shop__campaigns') }}

),

-- a campaign name used twice means the campaign that started last
named_campaigns as (

    select
        campaign_id,
        lower(trim(campaign_name)) as campaign_code,
        row_number() over (
            partition by lower(trim(campaign_name))
            order by
                case when is_deleted then 1 else 0 end asc,
                starts_at desc nulls last,
                campaign_id asc
        ) as name_rank
    from campaigns
    where campaign_name is not null

),

tagged as (

    select
        order_id,
        coalesce(lower(trim(channel)), 'unknown') as sales_channel,
        -- tags belong to visits; a till or a marketplace has none
        case
            when lower(trim(channel)) in ('pos', 'marketplace') then 'offline'
            else {{ marketing_channel('utm_source', 'utm_medium') }}
        end as marketing_channel,
        lower(trim(utm_campaign)) as campaign_code
    from orders

),

final as (

    select
        tagged.order_id,
        {{ surrogate_key(['tagged.sales_channel', 'tagged.marketing_channel']) }} as channel_key,
        tagged.sales_channel,
        tagged.marketing_channel,
        coalesce(named_campaigns.campaign_id, identified.campaign_id, '-1') as campaign_id,
        tagged.campaign_code is not null
        and named_campaigns.campaign_id is null
        and identified.campaign_id is null as is_campaign_unknown
    from tagged
    left join named_campaigns
        on
            tagged.campaign_code = named_campaigns.campaign_code
            and named_campaigns.name_rank = 1
    left join campaigns as identified
        on tagged.campaign_code = identified.campaign_id

)

select * from final
