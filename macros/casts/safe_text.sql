{% macro safe_text(value) -%}
    {{- return(adapter.dispatch('safe_text', 'ledgerline')(value)) -}}
{%- endmacro %}

{% macro postgres__safe_text(value) -%}
    nullif({{ value }} #>> '{}', '')
{%- endmacro %}
