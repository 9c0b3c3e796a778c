{% macro full_months(first_date, second_date) -%}
{%- set months = dbt.datediff(first_date, second_date, 'month') -%}
{{ months }}
        - case when {{ second_date }} < {{ dbt.dateadd('month', months, first_date) }} then 1 else 0 end
{%- endmacro %}
