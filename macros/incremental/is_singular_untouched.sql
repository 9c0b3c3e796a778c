{#
    Whether nothing that a singular test reads was touched since it passed, nor the test itself changed: then it has passed
    again. Before the test reads, notes for mark_tested, in its node in `graph`, what it will have passed.
#}
{% macro is_singular_untouched() -%}
    {%- set node = graph.nodes.get(model.unique_id) -%}
    {%- if not node or model.test_metadata or flags.WHICH not in ('build', 'test') or should_store_failures() -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- if is_tested_weekly(model) -%}
        {%- set due = test_is_due() -%}
        {%- do node.update({'ledgerline_note': due['note'] if due['is_due'] else ''}) -%}
        {{- return(not due['is_due']) -}}
    {%- endif -%}
    {%- set parents = parent_nodes(model) -%}
    {%- set states = test_states() -%}
    {%- if parents['untracked'] or not states -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set note = [] -%}
    {%- set changed = [] -%}
    {%- for name, state in states.items() -%}
        {%- do note.append('/*tested:' ~ name ~ ':' ~ state['touch_id'] ~ ':all*/') -%}
        {%- if state['is_any'] or state['is_all'] -%}
            {%- do changed.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for name, checksum in dict(parents['seeds'], **{model.name: model.checksum.checksum}).items() -%}
        {%- set version = name ~ '@' ~ checksum -%}
        {%- do note.append('/*tested:' ~ version ~ ':0:all*/') -%}
        {%- if model.unique_id ~ ' ' ~ version not in test_marks()['marks'] -%}
            {%- do changed.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do node.update({'ledgerline_note': note | join(' ') if changed else ''}) -%}
    {{- return(not changed) -}}
{%- endmacro %}
