{% macro attribution_window_days() -%}
    {%- set days = var('attribution_window_days', 30) | int -%}
    {%- if days not in [1, 7, 14, 28, 30, 90] -%}
        {{ exceptions.raise_compiler_error('attribution_window_days is 1, 7, 14, 28, 30 or 90, not ' ~ days) }}
    {%- endif -%}
    {{- return(days) -}}
{%- endmacro %}
