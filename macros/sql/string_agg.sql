{% macro string_agg(expression, delimiter="','", order_by=none) -%}
    {{- dbt.listagg(expression, delimiter, 'order by ' ~ (order_by or expression)) -}}
{%- endmacro %}
