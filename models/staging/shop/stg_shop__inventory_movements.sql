-- One row per stock movement document.
{{ config(
    unique_key='movement_id',
    meta={'touches': {'sku': 'sku'}},
    indexes=[
        {'columns': ['movement_id'], 'unique': true},
        {'columns': ['sku']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('sku', 'text', 'sku'),
    ('location', 'text', 'location'),
    ('movement_type', 'code', 'type'),
    ('reference_type', 'code', 'ref.type'),
    ('reference_id', 'id', 'ref.id'),
    ('quantity', 'number', 'qty'),
    ('unit_cost', 'number', 'unit_cost'),
    ('moved_at', 'timestamp', 'at'),
    ('expected_at', 'timestamp', 'expected_at'),
    ('created_at', 'timestamp', 'created_at'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'inventory_movements')) }}

),

typed as (

    {{ json_to_columns('documents', 'doc', columns, ['document_id', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as movement_id,
        sku,
        location,
        movement_type,
        reference_type,
        reference_id,
        quantity,
        unit_cost,
        moved_at,
        expected_at,
        created_at,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
