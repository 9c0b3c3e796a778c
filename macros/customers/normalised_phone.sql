{#
    A phone number's digits without separators and international prefix; null when there are fewer
    than seven, which is no number that could tell people apart.

    Arguments:
        column: a text expression.
#}
{% macro normalised_phone(column) -%}
{%- set digits = "ltrim(translate(" ~ column ~ ", ' +-().,/', ''), '0')" -%}
case when length({{ digits }}) >= 7 then {{ digits }} end
{%- endmacro %}
