{% macro is_in_few(column, query) -%}
    {{- return(adapter.dispatch('is_in_few', 'ledgerline')(column, query)) -}}
{%- endmacro %}

{#-
    The text is the same in a full build, where they are many; touched_rows_only makes an array of it, which Postgres
    looks up in an index, however many it expects of the query.
-#}
{% macro postgres__is_in_few(column, query) -%}
    {{ column }} in /*few:*/ ({{ query }}) /*:few*/
{%- endmacro %}

{% macro default__is_in_few(column, query) -%}
    {{ column }} in ({{ query }})
{%- endmacro %}
