-- One row per staging model and set of columns that could not be cast.
--
-- A view: it counts all of staging, and is asked when somebody looks into the data, not in each build.
{{ config(materialized='view', meta={'tested': 'weekly'}) }}

{% set staging_models = [
    'stg_shop__users', 'stg_shop__user_addresses', 'stg_shop__products', 'stg_shop__product_variants',
    'stg_shop__product_prices', 'stg_shop__product_stock', 'stg_shop__orders', 'stg_shop__order_items',
    'stg_shop__order_item_discounts',
    'stg_shop__order_discounts', 'stg_shop__order_status_events', 'stg_shop__payments', 'stg_shop__refunds',
    'stg_shop__refund_lines', 'stg_shop__reviews', 'stg_shop__campaigns', 'stg_shop__campaign_events',
    'stg_shop__campaign_days', 'stg_shop__sessions', 'stg_shop__session_events',
    'stg_shop__inventory_movements', 'stg_shop__support_tickets', 'stg_shop__exchange_rates',
] %}

with

counted as (

    {% for model in staging_models -%}
    select
        '{{ model }}' as staging_model,
        cast_failures as column_names,
        count(*) as row_count
    from {{ ref(model) }}
    group by cast_failures
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

final as (

    select
        staging_model,
        column_names,
        row_count,
        cast(row_count as numeric(20, 6)) / sum(row_count) over (partition by staging_model) as row_share
    from counted

)

select * from final
