{% macro safe_integer(value) -%}
    {{- return(adapter.dispatch('safe_integer', 'ledgerline')(value)) -}}
{%- endmacro %}

{% macro postgres__safe_integer(value) -%}
    {%- set number = safe_number(value) -%}
    case
        when ({{ number }}) % 1 = 0 and abs({{ number }}) < 9223372036854775807
            then cast({{ number }} as bigint)
    end
{%- endmacro %}
