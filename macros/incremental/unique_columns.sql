{% macro unique_columns(node) -%}
    {%- set found = [] -%}
    {%- if node.config.incremental_strategy == 'by_entity' -%}
        {%- set key = node.config.unique_key -%}
        {%- do found.append(([key] if key is string else key) | sort) -%}
    {%- endif -%}
    {%- for index in node.config.get('indexes') or [] if index.get('unique') -%}
        {%- do found.append(index['columns'] | sort) -%}
    {%- endfor -%}
    {{- return(found) -}}
{%- endmacro %}
