-- One row per line of a refund in an order document.
{{ config(
    unique_key='order_id',
    meta={'element_position': 'line_position'},
    indexes=[
        {'columns': ['order_id', 'refund_position', 'line_position'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('line_id', 'text', 'line_id'),
    ('restock', 'code', 'restock'),
    ('source_line', 'text', 'source_line'),
    ('quantity', 'number', 'qty'),
    ('amount', 'number', 'amount'),
    ('tax_amount', 'number', 'tax'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'orders')) }}

),

parents as (

    {{ json_array_rows('documents', 'doc', 'refunds', ['document_id', 'is_deleted', '_loaded_at']) }}

),

named_parents as (

    select
        document_id,
        is_deleted,
        _loaded_at,
        element_position as parent_position,
        element as parent,
        {{ json_text('element', 'id') }} as refund_id
    from parents

),

elements as (

    {{ json_array_rows('named_parents', 'parent', 'lines', ['document_id', 'is_deleted', '_loaded_at', 'parent_position', 'refund_id']) }}

),

typed as (

    {{ json_to_columns('elements', 'element', columns, ['document_id', 'is_deleted', '_loaded_at', 'parent_position', 'refund_id', 'element_position']) }}

),

final as (

    select
        document_id as order_id,
        refund_id,
        parent_position as refund_position,
        element_position as line_position,
        line_id,
        restock,
        source_line,
        quantity,
        amount,
        tax_amount,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
