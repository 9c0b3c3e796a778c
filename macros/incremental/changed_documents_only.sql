{#
    A staging model's SQL with the watermark in it as a value, which the planner can weigh. Takes the
    model's lock. The watermark is the newest document that the table held when it was last read: more than
    the newest row here where the newest documents have no element of the array.
#}
{% macro changed_documents_only(sql) -%}
    {%- set newest = '(select max(previous._loaded_at) from ' ~ this ~ ' as previous)' -%}
    {%- do run_query('lock table ' ~ this ~ ' in share row exclusive mode') -%}
    {%- set watermark = run_query(
        'select cast(greatest('
        ~ '(select cast(max(built.checksum) as timestamp with time zone) from ' ~ touch_log('built') ~ ' as built'
        ~ " where built.model = '" ~ model.name ~ "' and exists (select 1 from " ~ this ~ ')), '
        ~ newest ~ ') as text)'
    )[0][0] -%}
    {%- do run_query(mark_documents()) -%}
    {{- return(sql if watermark is none else sql | replace(newest, "cast('" ~ watermark ~ "' as timestamp with time zone)")) -}}
{%- endmacro %}
