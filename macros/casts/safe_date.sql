{% macro safe_date(value) -%}
    {{- return(adapter.dispatch('safe_date', 'ledgerline')(value)) -}}
{%- endmacro %}

{#-
    A calendar day (a birthday, the day of a spend) is often stored as midnight UTC: it is that
    day in every zone. Any other moment is a day of the store's zone.
-#}
{% macro postgres__safe_date(value) -%}
    {%- set text = "trim(" ~ value ~ " #>> '{}')" -%}
    {%- set moment = safe_timestamp(value) -%}
    case
        when {{ text }} ~ '^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T00:00(:00(\.0{1,9})?)?Z)?$'
            then case when {{ is_day_of_month(text) }} then cast(left({{ text }}, 10) as date) end
        when jsonb_typeof({{ value }}) = 'number' and cast({{ text }} as numeric) % 86400000 = 0
            then cast(({{ moment }}) at time zone 'UTC' as date)
        else {{ local_date(moment) }}
    end
{%- endmacro %}
