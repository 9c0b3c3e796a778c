{#
    What the database says of a table: its unique indexes, and in one entry its columns that can't be null, as
    [{'columns', 'is_unique', 'has_nulls'}]. To be asked for by tests alone: the table is built by then. All tables
    are asked for at once, and again when one was made anew since, by this build or another: that has touched all of
    its entities. Views have none; of seeds and snapshots, which log nothing, none is known.
#}
{% macro table_constraints(relation) -%}
    {{- return(adapter.dispatch('table_constraints', 'ledgerline')(relation)) -}}
{%- endmacro %}

{% macro default__table_constraints(relation) -%}
    {{- return([]) -}}
{%- endmacro %}

{% macro postgres__table_constraints(relation) -%}
    {%- set known = test_marks() -%}
    {%- set tested = graph.nodes.get(model.attached_node) -%}
    {%- if tested and not (is_tracked(tested) and relation | string == tested.relation_name) -%}
        {{- return([]) -}}
    {%- endif -%}
    {#- the touches first: what is made anew between the two is asked for again -#}
    {%- set made = newest_touch(tested.name)['all_touch_id'] if tested else 0 -%}
    {%- set touched = dict(known['touched'], **known['newest']) -%}
    {%- set constraints = known['constraints'] -%}
    {%- if not constraints or tested and constraints['touched'].get(tested.name, {}).get('all_touch_id', 0) != made -%}
        {%- set constraints = {'touched': touched, 'tables': catalogue_constraints()} -%}
        {%- do known.update({'constraints': constraints}) -%}
    {%- endif -%}
    {{- return(constraints['tables'].get(relation | string, [])) -}}
{%- endmacro %}
