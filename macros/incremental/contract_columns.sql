{#- The columns of a model's contract and their types, for a temporary table -#}
{% macro contract_columns() -%}
    {%- for column in model.columns.values() -%}
    {{ column.name }} {{ column.data_type }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
