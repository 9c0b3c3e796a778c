{#
    The constraints that a table gets once it is filled. dbt puts those of a contract into it beforehand, all
    but the primary key (get_table_columns_and_constraints). Of a table without a contract, the columns that
    its YAML calls not null and those of its key are declared so: Postgres then refuses a null in every later
    increment as well.
#}
{% macro enforce_constraints(relation) -%}
    {%- set is_contracted = config.get('contract').enforced -%}
    {%- set clauses = [] -%}
    {%- set key = config.get('unique_key') or [] if config.get('incremental_strategy') == 'by_entity' else [] -%}
    {%- set keys = [key] if key is string else key -%}
    {%- for name in keys if not is_contracted -%}
        {%- do clauses.append('alter column ' ~ name ~ ' set not null') -%}
    {%- endfor -%}
    {%- for column in model.columns.values() -%}
        {%- set constraints = (column.constraints or []) | map(attribute='type') | map('string') | list -%}
        {%- if is_contracted and 'primary_key' in constraints -%}
            {%- do clauses.append('add primary key (' ~ column.name ~ ')') -%}
        {%- elif not is_contracted and 'not_null' in constraints and column.name not in keys -%}
            {%- do clauses.append('alter column ' ~ column.name ~ ' set not null') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if clauses %}
        alter table {{ relation }} {{ clauses | join(', ') }};
    {%- endif -%}
{%- endmacro %}
