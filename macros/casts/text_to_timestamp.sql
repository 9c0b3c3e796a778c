{% macro text_to_timestamp(value) -%}
    {{- return(adapter.dispatch('text_to_timestamp', 'ledgerline')(value)) -}}
{%- endmacro %}

{#-
    Patterns decide, casts follow: a cast of PostgreSQL 15 cannot be tried. A day of the month
    from 29 on is checked against its month. The first branch is what the loader writes for
    every BSON date and takes nearly all values.
-#}
{% macro postgres__text_to_timestamp(value) -%}
    {%- set year = '(?!0000)[0-9]{4}' -%}
    {%- set clock = '([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?' -%}
    {%- set zone = '(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)' -%}
    {%- set iso_date = year ~ '-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])' -%}
    {%- set day_first_date = '(0?[1-9]|[12][0-9]|3[01])/(0?[1-9]|1[0-2])/' ~ year -%}
    {%- set text = 'trim(' ~ value ~ ')' -%}
    {%- set year_first = day_first_to_iso(text) -%}
    case
        when {{ value }} ~ '^{{ year }}-(0[1-9]|1[0-2])-([01][1-9]|10|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?Z$'
            then cast({{ value }} as timestamp with time zone)
        -- ISO with a zone
        when {{ text }} ~ '^{{ iso_date }}[T ]{{ clock }} ?{{ zone }}$'
            then case when {{ is_day_of_month(text) }} then cast({{ text }} as timestamp with time zone) end
        -- ISO without a zone: the store's
        when {{ text }} ~ '^{{ iso_date }}([T ]{{ clock }})?$'
            then case when {{ is_day_of_month(text) }} then cast({{ text }} as timestamp) at time zone {{ store_timezone() }} end
        -- day first: the store's zone
        when {{ text }} ~ '^{{ day_first_date }}([T ]{{ clock }})?$'
            then case when {{ is_day_of_month(year_first) }} then cast({{ year_first }} as timestamp) at time zone {{ store_timezone() }} end
        -- milliseconds since 1970 that were written as text
        when {{ text }} ~ '^-?[0-9]{11,15}$'
            then {{ epoch_ms_to_timestamp('cast(' ~ text ~ ' as numeric)') }}
    end
{%- endmacro %}
