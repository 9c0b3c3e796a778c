{% macro hash_joins() -%}
    {{- return(adapter.dispatch('hash_joins', 'ledgerline')()) -}}
{%- endmacro %}

{#-
    Of a chain of CTEs Postgres knows no counts: it takes thousands of rows for one and loops over them,
    each time through all of the other side. Only until the transaction ends.
-#}
{% macro postgres__hash_joins() -%}
    set local enable_nestloop = off
{%- endmacro %}

{% macro default__hash_joins() -%}
{%- endmacro %}
