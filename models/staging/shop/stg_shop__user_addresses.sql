-- One row per address of a user document.
{{ config(
    unique_key='user_id',
    meta={'element_position': 'address_position'},
    indexes=[
        {'columns': ['user_id', 'address_position'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('address_kind', 'code', 'kind'),
    ('line1', 'text', 'line1'),
    ('city', 'text', 'city'),
    ('region', 'text', 'region'),
    ('postal_code', 'text', 'postal'),
    ('country', 'text', 'country'),
    ('latitude', 'number', 'geo.lat'),
    ('longitude', 'number', 'geo.lng'),
    ('is_default', 'boolean', 'default'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'users')) }}

),

elements as (

    {{ json_array_rows('documents', 'doc', 'addresses', ['document_id', 'is_deleted', '_loaded_at']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'element_position']) }}

),

final as (

    select
        document_id as user_id,
        element_position as address_position,
        address_kind,
        line1,
        city,
        region,
        postal_code,
        country,
        latitude,
        longitude,
        is_default,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
