{% macro type_money() -%}
numeric(20, 4)
{%- endmacro %}
