{#
    A staging model's SQL narrowed to the documents that changed, with the watermark in it as a value, which the planner
    can weigh. Takes the model's lock.
#}
{% macro changed_documents_only(sql) -%}
    {%- do run_query('lock table ' ~ this ~ ' in share row exclusive mode') -%}
    {%- set watermark = run_query('select cast((' ~ documents_watermark() ~ ') as text)')[0][0] -%}
    {%- do run_query(mark_documents(sql)) -%}
    {%- set is_changed = 'true' if watermark is none
        else "_loaded_at > cast('" ~ watermark ~ "' as timestamp with time zone)" -%}
    {{- return(sql | replace('true /*changed_documents*/', is_changed) | replace('inner /*or left*/', 'left')) -}}
{%- endmacro %}
