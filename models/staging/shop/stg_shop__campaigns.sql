-- One row per campaign document.
{{ config(
    unique_key='campaign_id',
    meta={'touches': {'campaign_name': 'campaign_name'}},
    indexes=[
        {'columns': ['campaign_id'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('campaign_name', 'text', 'name'),
    ('channel', 'code', 'channel'),
    ('objective', 'text', 'objective'),
    ('currency', 'text', 'currency'),
    ('status', 'code', 'status'),
    ('budget', 'number', 'budget'),
    ('starts_at', 'timestamp', 'start'),
    ('ends_at', 'timestamp', 'end'),
    ('created_at', 'timestamp', 'created_at'),
    ('updated_at', 'timestamp', 'updated_at'),
    ('schema_version', 'integer', 'schema_version'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'campaigns')) }}

),

typed as (

    {{ json_to_columns('documents', 'doc', columns, ['document_id', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as campaign_id,
        campaign_name,
        channel,
        objective,
        currency,
        status,
        budget,
        starts_at,
        ends_at,
        created_at,
        updated_at,
        schema_version,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
