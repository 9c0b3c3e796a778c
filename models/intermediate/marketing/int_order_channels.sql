-- One row per order document: through which sales and marketing channel it came, and which campaign.
with

orders as (

    select * from {{ ref('stg_shop__orders') }}

),

codes as (

    select * from {{ ref('int_campaign_codes') }}

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
        {{ campaign_code('utm_campaign') }} as campaign_code
    from orders

),

final as (

    select
        tagged.order_id,
        {{ surrogate_key(['tagged.sales_channel', 'tagged.marketing_channel']) }} as channel_key,
        tagged.sales_channel,
        tagged.marketing_channel,
        coalesce(codes.campaign_id, '-1') as campaign_id,
        tagged.campaign_code is not null
        and codes.campaign_id is null as is_campaign_unknown
    from tagged
    left join codes
        on tagged.campaign_code = codes.campaign_code

)

select * from final
