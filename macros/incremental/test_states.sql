{#
    For the test that is being compiled, of each model in it (or beneath its views) that logs what it changes: the
    newest touch, whether there is any since the test last passed, and whether all of the model has to be read: because
    the test never passed, the model was built from nothing, or all was last read too long ago. A view has no touches,
    but another definition is another view.
#}
{% macro test_states() -%}
    {%- set states = {} -%}
    {%- set parents = parent_nodes(model) -%}
    {%- set is_everything = flags.WHICH == 'test' or var('test_scope', 'touched') == 'all' -%}
    {%- for name, checksum in parents['views'].items() -%}
        {%- set mark = test_marks()['marks'].get(model.unique_id ~ ' ' ~ name ~ '@' ~ checksum) -%}
        {%- do states.update({name ~ '@' ~ checksum: {
            'node': none,
            'touch_id': 0,
            'tested_touch_id': 0,
            'is_any': false,
            'is_all': not mark or mark['is_old'] or is_everything,
        }}) -%}
    {%- endfor -%}
    {%- for name in parents['tracked'] -%}
        {%- set node = graph.nodes['model.' ~ model.package_name ~ '.' ~ name] -%}
        {%- set newest = newest_touch(node.name) -%}
        {%- set mark = test_marks()['marks'].get(model.unique_id ~ ' ' ~ node.name) -%}
        {%- set tested_touch_id = mark['touch_id'] if mark else 0 -%}
        {%- do states.update({node.name: {
            'node': node,
            'touch_id': [newest['touch_id'], tested_touch_id] | max,
            'tested_touch_id': tested_touch_id,
            'is_any': newest['touch_id'] > tested_touch_id,
            'is_all': not mark or mark['is_old'] or newest['all_touch_id'] > tested_touch_id or is_everything,
        }}) -%}
    {%- endfor -%}
    {{- return(states) -}}
{%- endmacro %}
