{#
    dbt's own, which it calls for the model of every generic test. A test that looks at each row by itself,
    of a model that logs what it changes, reads only the entities that changed since it last passed.
#}
{% macro postgres__get_where_subquery(relation) -%}
    {%- set scope = test_scope(relation) -%}
    {%- if scope['conditions'] == ['false'] -%}
        {{- return(relation ~ ' ' ~ nothing_to_read() ~ ' ' ~ scope['note']) -}}
    {%- endif -%}
    {%- set parts = [] -%}
    {#- a part for each condition, that may find its rows by an index: a row that meets two comes twice -#}
    {%- for condition in scope['conditions'] or ['true'] -%}
        {%- do parts.append(
            'select * from ' ~ relation ~ ' where (' ~ condition ~ ') and (' ~ (config.get('where') or 'true') ~ ')'
        ) -%}
    {%- endfor -%}
    {%- set is_narrowed = scope['conditions'] or config.get('where') -%}
    {%- set rows = '(' ~ parts | join(' union all ') ~ ') dbt_subquery' if is_narrowed else relation | string -%}
    {%- if execute and model.unique_id in graph.nodes -%}
        {#- for is_read_with_others -#}
        {%- do graph.nodes[model.unique_id].update({'ledgerline_reads': rows}) -%}
    {%- endif -%}
    {{- return(rows ~ ' ' ~ scope['note'] if scope['note'] else rows) -}}
{%- endmacro %}
