-- One row per campaign, product and attribution model: what the campaign's credited orders contained.
--
-- An order's credit goes to its lines alike, so units and amounts add up to what the campaign is credited with.
-- Orders of no campaign are left out.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['campaign_id', 'product_key', 'attribution_model'],
    meta={
        'entity': 'campaign',
        'entity_column': 'campaign_id',
        'touched_also': [
            "select campaign_id from {{ ref('fct_order_attribution') }} where order_id in {{ touched('order') }}",
        ],
    },
) }}

with

attribution as (

    select * from {{ ref('fct_order_attribution') }}
    where
        campaign_id <> '-1'
        and {{ is_touched('campaign_id') }}

),

items as (

    select
        order_id,
        product_key,
        case when measure in ('sale', 'return') then coalesce(quantity, 0) else 0 end as units,
        returned_quantity,
        net_sales_amount,
        net_sales_amount - coalesce(cogs_amount, 0) as gross_profit_amount
    from {{ ref('fct_order_items') }}

),

credits as (

    select
        campaign_id,
        order_id,
        attribution_model,
        sum(credit) as credit
    from attribution
    group by campaign_id, order_id, attribution_model

),

summed as (

    select
        credits.campaign_id,
        items.product_key,
        credits.attribution_model,
        sum(credits.credit) as attributed_lines,
        sum(credits.credit * items.units) as units,
        sum(credits.credit * items.returned_quantity) as returned_units,
        sum(credits.credit * items.net_sales_amount) as net_sales_amount,
        sum(credits.credit * items.gross_profit_amount) as gross_profit_amount
    from credits
    inner join items
        on credits.order_id = items.order_id
    group by credits.campaign_id, items.product_key, credits.attribution_model

),

ranked as (

    select
        *,
        sum(net_sales_amount) over (partition by campaign_id, attribution_model) as campaign_net_sales_amount,
        row_number() over (
            partition by campaign_id, attribution_model
            order by net_sales_amount desc nulls last, units desc nulls last, product_key asc
        ) as sales_rank
    from summed

),

final as (

    select
        campaign_id,
        product_key,
        attribution_model,
        cast(sales_rank as {{ dbt.type_int() }}) as sales_rank,
        cast(attributed_lines as numeric(20, 6)) as attributed_lines,
        cast(units as numeric(20, 6)) as units,
        cast(returned_units as numeric(20, 6)) as returned_units,
        cast(net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(gross_profit_amount as {{ type_money() }}) as gross_profit_amount,
        {{ ratio('net_sales_amount', 'campaign_net_sales_amount') }} as share_of_campaign
    from ranked

)

select * from final
