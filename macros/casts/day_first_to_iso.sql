{% macro day_first_to_iso(value) -%}
    {{- return(adapter.dispatch('day_first_to_iso', 'ledgerline')(value)) -}}
{%- endmacro %}

{% macro postgres__day_first_to_iso(value) -%}
    regexp_replace({{ value }}, '^([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})', '\3-\2-\1')
{%- endmacro %}
