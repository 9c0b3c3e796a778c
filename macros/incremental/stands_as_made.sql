{#- Whether a view or seed is there and was last made of the same: what has this checksum -#}
{% macro stands_as_made(checksum) -%}
    {%- set found = run_query(
        "select 1 from " ~ touch_log('built') ~ " as built where built.model = '" ~ model.name ~ "' and built.parent = '"
        ~ model.name ~ "' and built.checksum = '" ~ checksum ~ "' and to_regclass('" ~ this ~ "') is not null"
    ) -%}
    {{- return(found | length > 0) -}}
{%- endmacro %}
