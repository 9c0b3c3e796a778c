{#- a test that is called weekly, or that stands at a node that is -#}
{% macro is_tested_weekly(test) -%}
    {%- set tested = graph.nodes.get(test.attached_node) or test -%}
    {{- return('weekly' in [(test.config.meta or {}).get('tested'), (tested.config.meta or {}).get('tested')]) -}}
{%- endmacro %}
