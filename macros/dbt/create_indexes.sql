{#
    dbt's own, which it calls when a table is filled; its constraints come before its indexes. Not in the statement
    that fills it: dbt takes the number of rows from the last command there.
#}
{% macro postgres__create_indexes(relation) -%}
    {%- set constraints = enforce_constraints(relation) if model.resource_type == 'model' else '' -%}
    {%- if constraints | trim -%}
        {%- do run_query(constraints) -%}
    {%- endif -%}
    {{- dbt.default__create_indexes(relation) -}}
{%- endmacro %}
