-- One row per advertising campaign.
{{ config(alias='campaigns') }}

with

campaigns as (

    select * from {{ ref('dim_campaigns') }}
    where campaign_id <> '-1'

),

spend as (

    select * from {{ ref('fct_campaign_spend_daily') }}

),

orders as (

    select * from {{ ref('fct_orders') }}
    where is_countable

),

costs as (

    select
        campaign_id,
        sum(spend_amount) as cost,
        sum(impressions) as impressions,
        sum(clicks) as clicks
    from spend
    group by campaign_id

),

sales as (

    select
        campaign_id,
        count(*) as orders,
        sum(total_sales_amount) as revenue
    from orders
    group by campaign_id

),

final as (

    select
        campaigns.campaign_id,
        campaigns.campaign_name,
        campaigns.campaign_channel as channel,
        campaigns.objective,
        campaigns.status,
        campaigns.budget,
        campaigns.currency as budget_currency,
        cast(coalesce(costs.cost, 0) as {{ type_money() }}) as cost,
        cast(coalesce(sales.revenue, 0) as {{ type_money() }}) as revenue,
        cast(
            case when costs.cost > 0 then (coalesce(sales.revenue, 0) - costs.cost) / costs.cost end as numeric(20, 6)
        ) as roi,
        cast(coalesce(costs.impressions, 0) as numeric(20, 4)) as impressions,
        cast(coalesce(costs.clicks, 0) as numeric(20, 4)) as clicks,
        cast(coalesce(sales.orders, 0) as {{ dbt.type_int() }}) as orders,
        campaigns.start_date,
        campaigns.end_date
    from campaigns
    left join costs
        on campaigns.campaign_id = costs.campaign_id
    left join sales
        on campaigns.campaign_id = sales.campaign_id

)

select * from final
