{% macro as_of_date() -%}
    (select max(store_clock.as_of_date) from {{ ref('int_store_clock') }} as store_clock)
{%- endmacro %}
