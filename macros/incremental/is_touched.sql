{% macro is_touched(column, by_day=false) -%}
    {{- return(adapter.dispatch('is_touched', 'ledgerline')(column, by_day)) -}}
{%- endmacro %}

{#-
    The text of a model is the same in a full build and in an increment, so that its checksum tells
    whether the model was changed; touched_rows_only puts the condition here when it is known.
-#}
{% macro postgres__is_touched(column, by_day) -%}
    true /*is_touched{{ '_by_day' if by_day }}:{{ column }}:*/
{%- endmacro %}

{% macro default__is_touched(column, by_day) -%}
    true
{%- endmacro %}
