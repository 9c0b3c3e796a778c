{% macro epoch_ms_to_timestamp(value) -%}
    {{- return(adapter.dispatch('epoch_ms_to_timestamp', 'ledgerline')(value)) -}}
{%- endmacro %}

{% macro postgres__epoch_ms_to_timestamp(value) -%}
    -- the years 1 to 9999
    case
        when {{ value }} between -62135596800000 and 253402300799999
            then to_timestamp(cast({{ value }} / 1000.0 as double precision))
    end
{%- endmacro %}
