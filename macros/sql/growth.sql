{% macro growth(value, base) -%}
    cast(case when ({{ base }}) <> 0 then 1.0 * ({{ value }}) / ({{ base }}) - 1 end as numeric(20, 6))
{%- endmacro %}
