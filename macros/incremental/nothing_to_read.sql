{% macro nothing_to_read() -%}
    /*nothing to read*/
{%- endmacro %}
