{% macro changed_documents(documents) -%}
    {{- return(adapter.dispatch('changed_documents', 'ledgerline')(documents)) -}}
{%- endmacro %}

{#-
    The text of a model is the same in a full build and in an increment, so that its checksum tells whether the
    model was changed; changed_documents_only puts the condition here.
-#}
{% macro postgres__changed_documents(documents) -%}
    select
        _id as document_id,
        doc,
        _deleted_at is not null as is_deleted,
        _loaded_at
    from {{ documents }}
    where true /*changed_documents*/
{%- endmacro %}

{% macro default__changed_documents(documents) -%}
    select
        _id as document_id,
        doc,
        _deleted_at is not null as is_deleted,
        _loaded_at
    from {{ documents }}
    {%- if is_incremental() %}
    -- everything when this model is empty
    where _loaded_at > coalesce(
        (select max(previous._loaded_at) from {{ this }} as previous),
        cast('1970-01-01' as timestamp)
    )
    {%- endif %}
{%- endmacro %}
