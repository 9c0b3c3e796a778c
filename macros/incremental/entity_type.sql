{% macro entity_type(entity) -%}
    {{- 'date' if entity in ('day', 'week', 'month', 'order_month', 'year') else dbt.type_string() -}}
{%- endmacro %}
