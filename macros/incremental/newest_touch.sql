{#
    The newest touch of a model that not all of its tests have passed yet, and the newest of all its entities:
    {'touch_id', 'all_touch_id'}, 0 where there is none. To be asked for by tests alone: the model is built by then.
    What was there when the run's first test asked (test_marks) holds for a model that the run leaves alone: what another
    build writes to it meanwhile is newer than the marks that are made by it, and is tested next. For a model that the
    run has written to (note_written) it is asked again, at once for all that are written by then.
#}
{% macro newest_touch(name) -%}
    {%- set known = test_marks() -%}
    {%- set newest = known['newest'] -%}
    {%- if name not in newest -%}
        {%- set written = [] -%}
        {%- for node in graph.nodes.values() if node.get('ledgerline_written_by') == invocation_id -%}
            {%- do written.append(node.name) -%}
        {%- endfor -%}
        {%- if name not in written -%}
            {%- set written = [name] -%}
            {%- set touched = known['touched'] -%}
        {%- else -%}
            {%- set touched = newest_touches() -%}
        {%- endif -%}
        {%- for found in written if found not in newest -%}
            {%- do newest.update({found: touched.get(found, {'touch_id': 0, 'all_touch_id': 0})}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(newest[name]) -}}
{%- endmacro %}
