{% macro safe_code(value) -%}
    nullif(lower(trim({{ safe_text(value) }})), '')
{%- endmacro %}
