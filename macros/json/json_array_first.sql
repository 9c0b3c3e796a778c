{% macro json_array_first(document, path, flag) -%}
    {{- return(adapter.dispatch('json_array_first', 'ledgerline')(document, path, flag)) -}}
{%- endmacro %}

{% macro postgres__json_array_first(document, path, flag) -%}
    coalesce(
        jsonb_path_query_first({{ document }}, '$.{{ path }}[*] ? (@.{{ flag }} == true)'),
        {{ document }} #> '{ {{- path.split('.') | join(',') -}} ,0}'
    )
{%- endmacro %}
