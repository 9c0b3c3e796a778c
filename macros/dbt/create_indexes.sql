{#
    dbt's own, which it calls when a table is filled; its constraints come before its indexes. Not in the statement
    that fills it: dbt takes the number of rows from the last command there.
#}
{% macro postgres__create_indexes(relation) -%}
    {%- set constraints = enforce_constraints(relation) if model.resource_type == 'model' else '' -%}
    {%- if constraints | trim -%}
        {%- do run_query(constraints) -%}
    {%- endif -%}
    {%- set key = config.get('unique_key') if config.get('incremental_strategy') == 'by_entity' else none -%}
    {%- if key and not has_primary_key(model) -%}
        {%- do run_query('create unique index on ' ~ relation ~ ' (' ~ (key if key is string else key | join(', ')) ~ ')') -%}
    {%- endif -%}
    {{- dbt.default__create_indexes(relation) -}}
{%- endmacro %}
