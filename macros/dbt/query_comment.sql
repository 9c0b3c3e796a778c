{% macro query_comment(node) -%}
    {#- no node while a project is parsed or a hook runs -#}
    {{- 'ledgerline' ~ (' ' ~ node.unique_id if node is defined and node is not none else '') -}}
{%- endmacro %}
