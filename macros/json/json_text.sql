{% macro json_text(document, path) -%}
    {{- safe_text(json_value(document, path)) -}}
{%- endmacro %}
