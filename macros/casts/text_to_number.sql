{% macro text_to_number(value) -%}
    {{- return(adapter.dispatch('text_to_number', 'ledgerline')(value)) -}}
{%- endmacro %}

{#-
    [0-9], not \d: in a Unicode locale \d also matches digits that PostgreSQL cannot cast.
    Lengths are bounded because '1e999999' passes a pattern and overflows numeric.
-#}
{% macro postgres__text_to_number(value) -%}
    {%- set text = "trim(both U&' \\0009\\000A\\000D\\00A0' from " ~ value ~ ")" -%}
    case
        -- 12 | 12.50 | .5 | 1.25e3
        when {{ text }} ~ '^[+-]?([0-9]{1,30}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?$'
            then cast({{ text }} as numeric)
        -- 1,234.50 | 1,234,567
        when {{ text }} ~ '^[+-]?[0-9]{1,3}((,[0-9]{3}){1,9}\.[0-9]{1,20}|(,[0-9]{3}){2,9})$'
            then cast(replace({{ text }}, ',', '') as numeric)
        -- 1.234,50 | 1.234.567
        when {{ text }} ~ '^[+-]?[0-9]{1,3}((\.[0-9]{3}){1,9},[0-9]{1,20}|(\.[0-9]{3}){2,9})$'
            then cast(replace(replace({{ text }}, '.', ''), ',', '.') as numeric)
        -- one thousand two hundred or one and a fifth: 1,234 can be either, so it is neither
        when {{ text }} ~ '^[+-]?[1-9][0-9]{0,2},[0-9]{3}$'
            then null
        -- 12,50
        when {{ text }} ~ '^[+-]?[0-9]{1,30},[0-9]{1,20}$'
            then cast(replace({{ text }}, ',', '.') as numeric)
    end
{%- endmacro %}
