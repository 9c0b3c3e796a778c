{#
    The type of an amount in a mart: four decimals, one more than any currency has, so that a share of
    the smallest coin (a stated price of 0.001) is kept and sums stay exact.
#}
{% macro type_money() -%}
numeric(20, 4)
{%- endmacro %}
