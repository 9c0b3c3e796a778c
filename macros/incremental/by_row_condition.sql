{% macro by_row_condition(test) -%}
    {%- set asks = test.test_metadata -%}
    {%- if not asks or asks.namespace or test.depends_on.nodes | length != 1 -%}
        {{- return(none) -}}
    {%- endif -%}
    {%- if test.config.fail_calc != 'count(*)' or test.config.warn_if != '!= 0' or test.config.error_if != '!= 0' -%}
        {{- return(none) -}}
    {%- endif -%}
    {#- what dbt has to render is known when the test itself is compiled -#}
    {%- for name, value in asks.kwargs.items() if name != 'model' and modules.re.search('[{]|(env_var|ref|var|source|doc) *[(]', value | string) -%}
        {{- return(none) -}}
    {%- endfor -%}
    {{- return(failing_row(asks.name, asks.kwargs)) -}}
{%- endmacro %}
