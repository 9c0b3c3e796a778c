{#
    For the test that is being compiled, of each model in it that logs what it changes: the newest touch,
    whether there is any since the test last passed, and whether all of the model has to be read: because
    the test never passed, the model was built from nothing, or all was last read too long ago.
#}
{% macro test_states() -%}
    {%- set states = {} -%}
    {%- for unique_id in model.depends_on.nodes if unique_id in graph.nodes and is_tracked(graph.nodes[unique_id]) -%}
        {%- set node = graph.nodes[unique_id] -%}
        {%- set newest = newest_touch(node.name) -%}
        {%- set mark = test_marks()['marks'].get(model.unique_id ~ ' ' ~ node.name) -%}
        {%- set tested_touch_id = mark['touch_id'] if mark else 0 -%}
        {%- do states.update({node.name: {
            'node': node,
            'touch_id': [newest['touch_id'], tested_touch_id] | max,
            'tested_touch_id': tested_touch_id,
            'is_any': newest['touch_id'] > tested_touch_id,
            'is_all': not mark or mark['is_old'] or newest['all_touch_id'] > tested_touch_id
                or flags.WHICH == 'test' or var('test_scope', 'touched') == 'all',
        }}) -%}
    {%- endfor -%}
    {{- return(states) -}}
{%- endmacro %}
