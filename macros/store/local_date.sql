{% macro local_date(moment) -%}
    {{- return(adapter.dispatch('local_date', 'ledgerline')(moment)) -}}
{%- endmacro %}

{% macro postgres__local_date(moment) -%}
    cast(({{ moment }}) at time zone {{ store_timezone() }} as date)
{%- endmacro %}
