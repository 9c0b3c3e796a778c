{#
    dbt puts constraints into a table that has a contract. Of a table without one, the columns that its YAML
    calls not null and those of its key are declared so here, once it is filled: Postgres then refuses a null
    in every later increment as well.
#}
{% macro enforce_not_null(relation) -%}
    {%- set names = [] -%}
    {%- if not config.get('contract').enforced -%}
        {%- if config.get('incremental_strategy') == 'by_entity' -%}
            {%- set key = config.get('unique_key') -%}
            {%- do names.extend([key] if key is string else key) -%}
        {%- endif -%}
        {%- for column in model.columns.values() if column.name not in names -%}
            {%- if 'not_null' in (column.constraints or []) | map(attribute='type') | map('string') | list -%}
                {%- do names.append(column.name) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if names %}
        alter table {{ relation }}
        {%- for name in names %}
        alter column {{ name }} set not null{{ ',' if not loop.last else ';' }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
