-- One row per discount on one line of an order document.
{{ config(
    unique_key='order_id',
    meta={'element_position': 'position'},
    indexes=[
        {'columns': ['order_id', 'line_position', 'position'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('code', 'text', 'code'),
    ('kind', 'code', ['type', 'kind']),
    ('amount', 'number', 'amount'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'orders')) }}

),

parents as (

    {{ json_array_rows('documents', 'doc', 'items', ['document_id', 'is_deleted', '_loaded_at']) }}

),

named_parents as (

    select
        document_id,
        is_deleted,
        _loaded_at,
        element_position as parent_position,
        element as parent,
        coalesce({{ json_text('element', 'line_id') }}, element_key) as line_id
    from parents

),

elements as (

    {{ json_array_rows('named_parents', 'parent', 'discounts', ['document_id', 'is_deleted', '_loaded_at', 'parent_position', 'line_id']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'parent_position', 'line_id', 'element_position']) }}

),

final as (

    select
        document_id as order_id,
        line_id,
        parent_position as line_position,
        element_position as position,
        code,
        kind,
        amount,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
