{% macro attribution_models() -%}
    {{- return(['first', 'last', 'last_non_direct', 'linear', 'time_decay', 'position', 'markov']) -}}
{%- endmacro %}
