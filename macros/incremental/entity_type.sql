{% macro entity_type(entity) -%}
    {{- 'date' if entity.split('_')[-1] in ('day', 'week', 'month') else dbt.type_string() -}}
{%- endmacro %}
