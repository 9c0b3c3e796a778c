{% macro json_value(document, path) -%}
    {{- return(adapter.dispatch('json_value', 'ledgerline')(document, path)) -}}
{%- endmacro %}

{% macro postgres__json_value(document, path) -%}
    {%- if path == '$' -%}
        nullif({{ document }}, 'null')
    {%- else -%}
        nullif({{ document }} #> '{ {{- path.split('.') | join(',') -}} }', 'null')
    {%- endif -%}
{%- endmacro %}
