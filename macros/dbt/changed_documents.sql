{% macro changed_documents(documents) -%}
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
