{% macro safe_boolean(value) -%}
    {{- return(adapter.dispatch('safe_boolean', 'ledgerline')(value)) -}}
{%- endmacro %}

{% macro postgres__safe_boolean(value) -%}
    case
        when lower(trim({{ value }} #>> '{}')) in ('true', 't', 'yes', 'y', '1', 'on') then true
        when lower(trim({{ value }} #>> '{}')) in ('false', 'f', 'no', 'n', '0', 'off') then false
    end
{%- endmacro %}
