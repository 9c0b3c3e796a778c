{% macro last_day_built(column) -%}
    (select least(max(built.{{ column }}), {{ as_of_date() }}) from {{ this }} as built)
{%- endmacro %}
