{#
    The constraints that a table gets once it is filled. dbt puts those of a contract into it beforehand, all
    but the primary key and, where it holds personal data, what can't be null (get_table_columns_and_constraints).
    Of a table without a contract, the columns that its YAML calls not null and those of its key are declared so:
    Postgres then refuses a null in every later increment as well.
#}
{% macro enforce_constraints(relation) -%}
    {%- set is_contracted = config.get('contract').enforced -%}
    {%- set clauses = [] -%}
    {%- for name in columns_not_null(model) if not is_contracted or holds_personal_data(model) -%}
        {%- do clauses.append('alter column ' ~ name ~ ' set not null') -%}
    {%- endfor -%}
    {%- for column in model.columns.values() if is_contracted -%}
        {%- if 'primary_key' in (column.constraints or []) | map(attribute='type') | map('string') -%}
            {%- do clauses.append('add primary key (' ~ column.name ~ ')') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if clauses %}
        alter table {{ relation }} {{ clauses | join(', ') }};
    {%- endif -%}
{%- endmacro %}
