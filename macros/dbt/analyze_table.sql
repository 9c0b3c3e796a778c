{% macro analyze_table() -%}
    {{- return(adapter.dispatch('analyze_table', 'ledgerline')()) -}}
{%- endmacro %}

{% macro postgres__analyze_table() -%}
    {%- if not is_incremental() -%}analyze {{ this }}{%- endif -%}
{%- endmacro %}

{% macro default__analyze_table() -%}
{%- endmacro %}
