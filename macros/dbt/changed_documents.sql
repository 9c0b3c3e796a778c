{% macro changed_documents(documents) -%}
    select
        _id as document_id,
        doc,
        _deleted_at is not null as is_deleted,
        _loaded_at
    from {{ documents }}
    where {{ is_changed_document() }}
{%- endmacro %}
