{% macro entity_type(entity) -%}
    {{- 'date' if entity in ('day', 'week', 'month') else dbt.type_string() -}}
{%- endmacro %}
