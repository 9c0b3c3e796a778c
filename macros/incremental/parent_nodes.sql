{#
    What a model reads: {'tracked': names of models that log what they change, 'seeds': {name: checksum},
    'untracked': names of everything else that the model does not list under meta.untracked}.
#}
{% macro parent_nodes(node) -%}
    {%- set found = {'tracked': [], 'seeds': {}, 'untracked': []} -%}
    {%- set listed = (node.config.meta or {}).get('untracked', {}) -%}
    {%- for unique_id in node.depends_on.nodes -%}
        {%- set parent = graph.nodes.get(unique_id) or graph.sources.get(unique_id) -%}
        {%- if parent.resource_type == 'seed' -%}
            {%- do found['seeds'].update({parent.name: parent.checksum.checksum}) -%}
        {%- elif is_tracked(parent) -%}
            {%- do found['tracked'].append(parent.name) -%}
        {%- elif parent.name not in listed -%}
            {%- do found['untracked'].append(parent.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(found) -}}
{%- endmacro %}
