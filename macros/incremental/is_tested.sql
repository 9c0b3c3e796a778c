{% macro is_tested(entity, column) -%}
    {{- return(adapter.dispatch('is_tested', 'ledgerline')(entity, column)) -}}
{%- endmacro %}

{% macro default__is_tested(entity, column) -%}
    true
{%- endmacro %}

{% macro postgres__is_tested(entity, column) -%}
    {%- if not execute or flags.WHICH not in ('build', 'test') or model.resource_type != 'test' -%}
        {{- return('true') -}}
    {%- endif -%}
    {%- set states = test_states() -%}
    {%- set parents = parent_nodes(model) -%}
    {%- set sets = [] -%}
    {%- set note = [] -%}
    {%- set unknown = parents['untracked'] + parents['views'].keys() | list -%}
    {%- for name, state in states.items() -%}
        {%- if state['is_all'] -%}
            {%- do unknown.append(name) -%}
        {%- elif state['is_any'] -%}
            {%- do sets.append(touched_since(name, entity, state)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for name, state in states.items() -%}
        {%- do note.append('/*tested:' ~ name ~ ':' ~ state['touch_id'] ~ (':all*/' if unknown else ':touched*/')) -%}
    {%- endfor -%}
    {%- if unknown -%}
        {{- return('true ' ~ note | join(' ')) -}}
    {%- elif sets -%}
        {{- return(column ~ ' in (' ~ sets | join(' union ') ~ ') ' ~ note | join(' ')) -}}
    {%- endif -%}
    {{- return('false ' ~ note | join(' ')) -}}
{%- endmacro %}
