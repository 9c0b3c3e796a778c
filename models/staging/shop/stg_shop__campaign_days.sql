-- One row per document of the advertising platform: a campaign on a day.
{{ config(
    unique_key='campaign_day_id',
    indexes=[
        {'columns': ['campaign_day_id'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('campaign_id', 'id', 'campaign_id'),
    ('spend', 'number', 'spend'),
    ('impressions', 'integer', 'impressions'),
    ('clicks', 'integer', 'clicks'),
    ('platform_conversions', 'number', 'platform_conversions'),
    ('platform_revenue', 'number', 'platform_revenue'),
    ('spend_date', 'date', 'date'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'campaign_daily')) }}

),

typed as (

    {{ json_to_columns('documents', 'doc', columns, ['document_id', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as campaign_day_id,
        campaign_id,
        spend,
        impressions,
        clicks,
        platform_conversions,
        platform_revenue,
        spend_date,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
