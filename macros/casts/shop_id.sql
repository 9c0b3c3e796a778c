{% macro shop_id(value) -%}
    {{- return(adapter.dispatch('shop_id', 'ledgerline')(value)) -}}
{%- endmacro %}

{% macro postgres__shop_id(value) -%}
    case
        when {{ value }} #>> '{}' ~ '^[0-9a-f]{24}$' then {{ value }} #>> '{}'
        else cast({{ value }} as text)
    end
{%- endmacro %}
