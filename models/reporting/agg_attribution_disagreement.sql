-- One row per month and channel or campaign: the credit by every model side by side, and how far they differ.
{% set models = attribution_models() %}
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['scope_type', 'scope_id', 'month_start_date'],
    meta={'entity': 'month', 'entity_column': 'month_start_date'},
) }}

with

channels as (

    select
        'channel' as scope_type,
        marketing_channel as scope_id,
        attribution_model,
        month_start_date,
        attributed_orders,
        revenue_amount,
        spend_amount,
        platform_conversions,
        platform_revenue_amount
    from {{ ref('agg_channel_performance') }}
    where {{ is_touched('month_start_date') }}

),

campaigns as (

    select
        'campaign' as scope_type,
        campaign_id as scope_id,
        attribution_model,
        month_start_date,
        attributed_orders,
        revenue_amount,
        spend_amount,
        platform_conversions,
        platform_revenue_amount
    from {{ ref('agg_campaign_performance') }}
    where {{ is_touched('month_start_date') }}

),

unioned as (

    select * from channels
    union all
    select * from campaigns

),

summed as (

    select
        scope_type,
        scope_id,
        month_start_date,
        {% for model in models -%}
        sum(case when attribution_model = '{{ model }}' then attributed_orders else 0 end) as {{ model }}_orders,
        sum(case when attribution_model = '{{ model }}' then revenue_amount else 0 end) as {{ model }}_revenue_amount,
        {% endfor -%}
        sum(case when attribution_model = 'last' then spend_amount else 0 end) as spend_amount,
        sum(case when attribution_model = 'last' then platform_conversions else 0 end) as platform_conversions,
        sum(case when attribution_model = 'last' then platform_revenue_amount else 0 end) as platform_revenue_amount
    from unioned
    group by scope_type, scope_id, month_start_date

),

spread as (

    select
        *,
        least({% for model in models %}{{ model }}_revenue_amount{{ ', ' if not loop.last }}{% endfor %}) as least_revenue_amount,
        greatest({% for model in models %}{{ model }}_revenue_amount{{ ', ' if not loop.last }}{% endfor %})
            as largest_revenue_amount,
        ({% for model in models %}{{ model }}_revenue_amount{{ ' + ' if not loop.last }}{% endfor %})
        / {{ models | length }} as mean_revenue_amount
    from summed

),

final as (

    select
        scope_type,
        scope_id,
        {% for model in models -%}
        cast({{ model }}_orders as numeric(20, 6)) as {{ model }}_orders,
        {% endfor -%}
        {% for model in models -%}
        cast({{ model }}_revenue_amount as {{ type_money() }}) as {{ model }}_revenue_amount,
        {% endfor -%}
        cast(least_revenue_amount as {{ type_money() }}) as least_revenue_amount,
        cast(largest_revenue_amount as {{ type_money() }}) as largest_revenue_amount,
        cast(spend_amount as {{ type_money() }}) as spend_amount,
        cast(platform_conversions as {{ type_money() }}) as platform_conversions,
        cast(platform_revenue_amount as {{ type_money() }}) as platform_revenue_amount,
        {{ ratio('largest_revenue_amount - least_revenue_amount', 'mean_revenue_amount') }} as spread,
        coalesce(
            largest_revenue_amount - least_revenue_amount
            > {{ var('attribution_disagreement', 0.25) }} * mean_revenue_amount,
            false
        ) as is_disputed,
        month_start_date
    from spread

)

select * from final
