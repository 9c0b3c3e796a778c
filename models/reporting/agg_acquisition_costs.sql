-- One row per month and attribution model: what a new customer cost, by the definitions in use, and what
-- advertising brought.
--
-- The model decides only which new customers paid channels won. Blended, fully loaded and per-order costs are
-- the same in every model.
-- depends_on: {{ ref('overheads') }}
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['month_start_date', 'attribution_model'],
    meta={
        'entity': 'month',
        'entity_column': 'month_start_date',
        'untracked': {
            'fct_overheads': 'a change of its seed rebuilds this model; a new day comes with visits or orders',
        },
    },
) }}

with

channels as (

    select * from {{ ref('agg_channel_performance') }}
    where {{ is_touched('month_start_date') }}

),

overheads as (

    select
        overhead_month as month_start_date,
        sum(overhead_amount) as overhead_amount
    from {{ ref('fct_overheads') }}
    where {{ is_touched('overhead_month') }}
    group by overhead_month

),

summed as (

    select
        month_start_date,
        attribution_model,
        sum(spend_amount) as spend_amount,
        sum(case when marketing_channel in ({{ paid_channels() }}) then spend_amount else 0 end) as paid_spend_amount,
        sum(attributed_orders) as orders,
        sum(new_customers) as new_customers,
        sum(case when marketing_channel in ({{ paid_channels() }}) then new_customers else 0 end) as paid_new_customers,
        sum(revenue_amount) as revenue_amount,
        sum(new_customer_revenue_amount) as new_customer_revenue_amount
    from channels
    group by month_start_date, attribution_model

),

final as (

    select
        summed.attribution_model,
        cast(summed.spend_amount as {{ type_money() }}) as spend_amount,
        cast(summed.paid_spend_amount as {{ type_money() }}) as paid_spend_amount,
        cast(coalesce(overheads.overhead_amount, 0) as {{ type_money() }}) as overhead_amount,
        cast(summed.orders as numeric(20, 6)) as orders,
        cast(summed.new_customers as numeric(20, 6)) as new_customers,
        cast(summed.paid_new_customers as numeric(20, 6)) as paid_new_customers,
        cast(summed.revenue_amount as {{ type_money() }}) as revenue_amount,
        cast(summed.new_customer_revenue_amount as {{ type_money() }}) as new_customer_revenue_amount,
        {{ ratio('summed.spend_amount', 'summed.new_customers') }} as blended_cac,
        {{ ratio('summed.paid_spend_amount', 'summed.paid_new_customers') }} as paid_cac,
        {{ ratio('summed.spend_amount + coalesce(overheads.overhead_amount, 0)', 'summed.new_customers') }}
            as fully_loaded_cac,
        {{ ratio('summed.spend_amount', 'summed.orders') }} as cpo,
        {{ ratio('summed.revenue_amount', 'summed.spend_amount') }} as blended_roas,
        {{ ratio('summed.spend_amount', 'summed.revenue_amount') }} as acos,
        {{ ratio('summed.new_customer_revenue_amount', 'summed.spend_amount') }} as new_customer_roas,
        summed.month_start_date
    from summed
    left join overheads
        on summed.month_start_date = overheads.month_start_date

)

select * from final
