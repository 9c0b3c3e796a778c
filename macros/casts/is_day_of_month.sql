{% macro is_day_of_month(value) -%}
    {{- return(adapter.dispatch('is_day_of_month', 'ledgerline')(value)) -}}
{%- endmacro %}

{% macro postgres__is_day_of_month(value) -%}
    cast(substring({{ value }} from '^[0-9]{4}-[0-9]{1,2}-([0-9]{1,2})') as integer) <= extract(day from (
        make_date(
            cast(split_part({{ value }}, '-', 1) as integer),
            cast(split_part({{ value }}, '-', 2) as integer),
            1
        ) + interval '1 month' - interval '1 day'
    ))
{%- endmacro %}
