-- One row per marketing channel, day and attribution model: visits, what the channel's campaigns cost, what the
-- channel brought by the model, and what platforms claim.
--
-- Cost stands on the day of the bill, what it brought on the day of the order, so a day's ratio is only as good
-- as the day is typical: add up both over a period first. Visits, cost and claims are the
-- same in every model.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['marketing_channel', 'metric_date', 'attribution_model'],
    meta={
        'entity': 'day',
        'entity_column': 'metric_date',
        'touches': {'month': 'month_start_date'},
    },
    indexes=[{'columns': ['metric_date']}, {'columns': ['month_start_date']}],
) }}

with

attribution as (

    select * from {{ ref('fct_order_attribution') }}
    where {{ is_touched('order_date') }}

),

bills as (

    select * from {{ ref('fct_campaign_spend_daily') }}
    where {{ is_touched('spend_date') }}

),

visits as (

    select * from {{ ref('agg_funnel') }}
    where {{ is_touched('session_date') }}

),

models as (

    {% for model in attribution_models() -%}
    select '{{ model }}' as attribution_model
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

attributed as (

    select
        marketing_channel,
        order_date as metric_date,
        attribution_model,
        sum(credit) as attributed_orders,
        sum(case when is_new_customer then credit else 0 end) as new_customers,
        sum(total_sales_amount) as revenue_amount,
        sum(case when is_new_customer then total_sales_amount else 0 end) as new_customer_revenue_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(gross_profit_amount) as gross_profit_amount,
        sum(cm2_amount) as cm2_amount,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount
    from attribution
    where order_date is not null
    group by marketing_channel, order_date, attribution_model

),

spend as (

    select
        marketing_channel,
        spend_date as metric_date,
        sum(spend_amount) as spend_amount,
        sum(coalesce(impressions, 0)) as impressions,
        sum(coalesce(clicks, 0)) as clicks,
        sum(coalesce(platform_conversions, 0)) as platform_conversions,
        sum(coalesce(platform_revenue_amount, 0)) as platform_revenue_amount
    from bills
    group by marketing_channel, spend_date

),

visited as (

    select
        marketing_channel,
        session_date as metric_date,
        sum(sessions) as sessions,
        sum(converting_sessions) as converting_sessions,
        sum(orders) as session_orders
    from visits
    group by marketing_channel, session_date

),

days as (

    select
        marketing_channel,
        metric_date
    from visited

    union

    select
        marketing_channel,
        metric_date
    from attributed

    union

    select
        marketing_channel,
        metric_date
    from spend

),

measured as (

    select
        days.marketing_channel,
        models.attribution_model,
        cast(coalesce(visited.sessions, 0) as {{ dbt.type_bigint() }}) as sessions,
        cast(coalesce(visited.converting_sessions, 0) as {{ dbt.type_bigint() }}) as converting_sessions,
        cast(coalesce(visited.session_orders, 0) as {{ dbt.type_bigint() }}) as session_orders,
        cast(coalesce(spend.impressions, 0) as {{ dbt.type_bigint() }}) as impressions,
        cast(coalesce(spend.clicks, 0) as {{ dbt.type_bigint() }}) as clicks,
        cast(coalesce(spend.spend_amount, 0) as {{ type_money() }}) as spend_amount,
        cast(coalesce(spend.platform_conversions, 0) as {{ type_money() }}) as platform_conversions,
        cast(coalesce(spend.platform_revenue_amount, 0) as {{ type_money() }}) as platform_revenue_amount,
        cast(coalesce(attributed.attributed_orders, 0) as numeric(20, 6)) as attributed_orders,
        cast(coalesce(attributed.new_customers, 0) as numeric(20, 6)) as new_customers,
        cast(coalesce(attributed.revenue_amount, 0) as {{ type_money() }}) as revenue_amount,
        cast(coalesce(attributed.new_customer_revenue_amount, 0) as {{ type_money() }}) as new_customer_revenue_amount,
        cast(coalesce(attributed.net_sales_amount, 0) as {{ type_money() }}) as net_sales_amount,
        cast(coalesce(attributed.gross_profit_amount, 0) as {{ type_money() }}) as gross_profit_amount,
        cast(coalesce(attributed.cm2_amount, 0) as {{ type_money() }}) as cm2_amount,
        cast(coalesce(attributed.cm2_amount, 0) - coalesce(spend.spend_amount, 0) as {{ type_money() }}) as cm3_amount,
        cast(coalesce(attributed.demand_amount, 0) as {{ type_money() }}) as demand_amount,
        cast(coalesce(attributed.costed_demand_amount, 0) as {{ type_money() }}) as costed_demand_amount,
        days.metric_date
    from days
    cross join models
    left join attributed
        on
            days.marketing_channel = attributed.marketing_channel
            and days.metric_date = attributed.metric_date
            and models.attribution_model = attributed.attribution_model
    left join visited
        on
            days.marketing_channel = visited.marketing_channel
            and days.metric_date = visited.metric_date
    left join spend
        on
            days.marketing_channel = spend.marketing_channel
            and days.metric_date = spend.metric_date

),

final as (

    select
        marketing_channel,
        attribution_model,
        sessions,
        converting_sessions,
        session_orders,
        impressions,
        clicks,
        spend_amount,
        platform_conversions,
        platform_revenue_amount,
        attributed_orders,
        new_customers,
        revenue_amount,
        new_customer_revenue_amount,
        net_sales_amount,
        gross_profit_amount,
        cm2_amount,
        cm3_amount,
        demand_amount,
        costed_demand_amount,
        {{ ratio('converting_sessions', 'sessions') }} as conversion_rate,
        {{ spend_ratios() }},
        cast({{ dbt.date_trunc('month', 'metric_date') }} as date) as month_start_date,
        metric_date
    from measured

)

select * from final
