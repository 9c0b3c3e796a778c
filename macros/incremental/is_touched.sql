{% macro is_touched(column) -%}
    {{- return(adapter.dispatch('is_touched', 'ledgerline')(column)) -}}
{%- endmacro %}

{#-
    The text of a model is the same in a full build and in an increment, so that its checksum tells
    whether the model was changed; touched_rows_only puts the condition here when it is known.
-#}
{% macro postgres__is_touched(column) -%}
    true /*is_touched:{{ column }}:*/
{%- endmacro %}

{% macro default__is_touched(column) -%}
    true
{%- endmacro %}
