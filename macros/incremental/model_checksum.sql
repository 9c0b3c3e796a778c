{#
    Of what makes a table as it is: its compiled SQL and what its YAML says of grants, indexes, types, constraints and
    who may see a column. Where one of them changes, the table is made anew.
#}
{% macro model_checksum(sql) -%}
    {%- set parts = [sql, config.get('grants') | string, config.get('indexes') | string, model.constraints | string] -%}
    {%- for column in model.columns.values() -%}
        {%- do parts.append([
            column.name, column.data_type, column.constraints, column.meta, (column.config or {}).get('meta')
        ] | string) -%}
    {%- endfor -%}
    {{- return(local_md5(parts | join('\n'))) -}}
{%- endmacro %}
