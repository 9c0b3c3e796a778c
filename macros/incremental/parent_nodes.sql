{#
    What a model or test reads: {'tracked': names of models that log what they change; 'seeds': {name: checksum};
    'views': the same of views, which have no rows of their own: what they read is among the rest; 'untracked': names
    of everything else}. What the model lists under meta.untracked is in none of them.
#}
{% macro parent_nodes(node) -%}
    {%- set found = {'tracked': [], 'seeds': {}, 'views': {}, 'untracked': []} -%}
    {%- set listed = (node.config.meta or {}).get('untracked', {}) -%}
    {%- for unique_id in node.depends_on.nodes -%}
        {%- set parent = graph.nodes.get(unique_id) or graph.sources.get(unique_id) -%}
        {%- if parent.name in listed -%}
        {%- elif parent.resource_type == 'seed' -%}
            {%- do found['seeds'].update({parent.name: parent.checksum.checksum}) -%}
        {%- elif is_tracked(parent) -%}
            {%- do found['tracked'].append(parent.name) -%}
        {%- elif parent.resource_type == 'model' and parent.config.materialized == 'view' -%}
            {%- set beneath = parent_nodes(parent) -%}
            {%- do found['views'].update({parent.name: parent.checksum.checksum}, **beneath['views']) -%}
            {%- do found['seeds'].update(beneath['seeds']) -%}
            {%- do found['tracked'].extend(beneath['tracked']) -%}
            {%- do found['untracked'].extend(beneath['untracked']) -%}
        {%- else -%}
            {%- do found['untracked'].append(parent.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do found.update({'tracked': found['tracked'] | unique | list}) -%}
    {{- return(found) -}}
{%- endmacro %}
