-- One row per pair of sales channel and marketing channel that any order came through, or that a visit
-- can come through, plus '-1'.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['channel_key'],
    meta={
        'touches': {'channel': 'channel_key'},
    },
) }}

with

orders as (

    {{ distinct_rows(ref('int_order_channels'), 'channel_key', ['sales_channel', 'marketing_channel']) }}

),

visits as (

    {% for channel in marketing_channels() -%}
    select
        'web' as sales_channel,
        '{{ channel }}' as marketing_channel
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

pairs as (

    select
        sales_channel,
        marketing_channel
    from orders

    union

    select
        sales_channel,
        marketing_channel
    from visits

),

final as (

    select
        {{ surrogate_key(['sales_channel', 'marketing_channel']) }} as channel_key,
        sales_channel,
        marketing_channel,
        {{ channel_rules_version() }} as channel_rules_version,
        marketing_channel in ({{ paid_channels() }}) as is_paid,
        sales_channel in ('web', 'app') as is_online
    from pairs

    union all

    select
        '-1' as channel_key,
        'unknown' as sales_channel,
        'unknown' as marketing_channel,
        {{ channel_rules_version() }} as channel_rules_version,
        cast(null as {{ dbt.type_boolean() }}) as is_paid,
        cast(null as {{ dbt.type_boolean() }}) as is_online

)

select * from final
