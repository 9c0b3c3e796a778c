{% macro safe_number(value) -%}
    {{- return(adapter.dispatch('safe_number', 'ledgerline')(value)) -}}
{%- endmacro %}

{% macro postgres__safe_number(value) -%}
    case jsonb_typeof({{ value }})
        when 'number' then cast({{ value }} as numeric)
        when 'string' then {{ text_to_number("(" ~ value ~ " #>> '{}')") }}
    end
{%- endmacro %}
