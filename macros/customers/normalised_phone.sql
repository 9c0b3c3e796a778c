{% macro normalised_phone(column) -%}
{%- set digits = "ltrim(translate(" ~ column ~ ", ' +-().,/', ''), '0')" -%}
case when length({{ digits }}) >= 7 then {{ digits }} end
{%- endmacro %}
