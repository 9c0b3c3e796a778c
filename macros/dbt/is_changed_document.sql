{% macro is_changed_document() -%}
    {{- return(adapter.dispatch('is_changed_document', 'ledgerline')()) -}}
{%- endmacro %}

{#-
    The text of a model is the same in a full build and in an increment, so that its checksum tells whether the
    model was changed; changed_documents_only puts the condition here.
-#}
{% macro postgres__is_changed_document() -%}
    true /*changed_documents*/
{%- endmacro %}

{% macro default__is_changed_document() -%}
    {%- if is_incremental() -%}
    -- everything when this model is empty
    _loaded_at > coalesce(
        (select max(previous._loaded_at) from {{ this }} as previous),
        cast('1970-01-01' as timestamp)
    )
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}
