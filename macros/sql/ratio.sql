{% macro ratio(numerator, denominator) -%}
    cast(case when ({{ denominator }}) <> 0 then 1.0 * ({{ numerator }}) / ({{ denominator }}) end as numeric(20, 6))
{%- endmacro %}
