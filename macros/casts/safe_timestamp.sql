{% macro safe_timestamp(value) -%}
    {{- return(adapter.dispatch('safe_timestamp', 'ledgerline')(value)) -}}
{%- endmacro %}

{% macro postgres__safe_timestamp(value) -%}
    case jsonb_typeof({{ value }})
        when 'string' then {{ text_to_timestamp("(" ~ value ~ " #>> '{}')") }}
        when 'number' then {{ epoch_ms_to_timestamp("cast(" ~ value ~ " as numeric)") }}
    end
{%- endmacro %}
