{% macro customer_months_since(first_date) -%}
    select distinct cast({{ dbt.date_trunc('month', 'days.calendar_date') }} as date) as entity_id
    from (
        {{ date_rows(first_date, as_of_date(), 'calendar_date') }}
    ) as days
{%- endmacro %}
