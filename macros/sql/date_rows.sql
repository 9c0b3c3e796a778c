{% macro date_rows(first_date, last_date, column='date_day') -%}
    {{- return(adapter.dispatch('date_rows', 'ledgerline')(first_date, last_date, column)) -}}
{%- endmacro %}

{% macro postgres__date_rows(first_date, last_date, column) -%}
    select cast({{ column }} as date) as {{ column }}
    from generate_series(
        cast({{ first_date }} as timestamp), cast({{ last_date }} as timestamp), interval '1 day'
    ) as days ({{ column }})
{%- endmacro %}
