-- One row per review document.
{{ config(
    unique_key='review_id',
    meta={'touches': {'product': 'product_id'}},
    indexes=[
        {'columns': ['review_id'], 'unique': true},
        {'columns': ['order_id']},
        {'columns': ['user_id']},
        {'columns': ['product_id']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('product_id', 'id', 'product_id'),
    ('user_id', 'id', 'user_id'),
    ('order_id', 'id', 'order_id'),
    ('title', 'text', 'title'),
    ('body', 'text', 'text'),
    ('language', 'code', 'lang'),
    ('status', 'code', 'status'),
    ('rating', 'number', 'rating'),
    ('votes', 'integer', 'votes'),
    ('is_verified', 'boolean', 'verified'),
    ('edited_at', 'timestamp', 'edited_at'),
    ('created_at', 'timestamp', 'created_at'),
    ('updated_at', 'timestamp', 'updated_at'),
    ('schema_version', 'integer', 'schema_version'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'reviews')) }}

),

typed as (

    {{ json_to_columns('documents', 'doc', columns, ['document_id', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as review_id,
        product_id,
        user_id,
        order_id,
        title,
        body,
        language,
        status,
        rating,
        votes,
        is_verified,
        edited_at,
        created_at,
        updated_at,
        schema_version,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
