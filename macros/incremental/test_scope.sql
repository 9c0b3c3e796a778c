{#
    Which rows a generic test has to read: {'conditions': SQL, a row that meets any of them; none for all
    rows; 'note': what mark_tested reads when the test has passed}.
#}
{% macro test_scope(relation) -%}
    {%- set everything = {'conditions': [], 'note': ''} -%}
    {%- if not execute or flags.WHICH not in ('build', 'test') or model.resource_type != 'test' -%}
        {{- return(everything) -}}
    {%- endif -%}
    {%- set due = test_is_due() -%}
    {%- if due['note'] -%}
        {{- return({'conditions': [] if due['is_due'] else ['false'], 'note': due['note'] if due['is_due'] else ''}) -}}
    {%- endif -%}
    {%- set tested = graph.nodes.get(model.attached_node) -%}
    {%- set test_name = model.test_metadata.name -%}
    {%- set arguments = model.test_metadata.kwargs -%}
    {%- if not tested or relation | string != tested.relation_name -%}
        {{- return(everything) -}}
    {%- endif -%}
    {%- if test_name in ('unique', 'unique_grain') -%}
        {#- a unique index proves it for every row, in each build; without one only all rows can -#}
        {%- set columns = arguments.get('columns') or [arguments.get('column_name')] -%}
        {%- set is_proven = var('test_scope', 'touched') != 'all'
            and is_unique_by_index(relation, columns, test_name == 'unique_grain') -%}
        {{- return({'conditions': ['false'] if is_proven else [], 'note': ''}) -}}
    {%- endif -%}
    {%- if not is_tracked(tested) -%}
        {{- return(everything) -}}
    {%- endif -%}
    {%- set states = test_states() -%}
    {%- set own = states[tested.name] -%}
    {%- set pairs = touched_columns(tested.config) -%}
    {%- set is_by_row = test_name in (
        'not_null', 'accepted_values', 'accepted_range', 'expression_is_true', 'not_null_where',
        'relationships', 'relationships_where'
    ) -%}
    {%- set rows = [] -%}
    {%- set unknown = [] -%}
    {%- if own['is_all'] or not is_by_row -%}
        {%- do unknown.append(tested.name) -%}
    {%- elif own['is_any'] and (tested.config.meta or {}).get('entity_column') or tested.config.incremental_strategy == 'by_document' -%}
        {%- if own['is_any'] -%}
            {%- do rows.append(
                pairs[0][1] ~ ' in (' ~ touched_since(tested.name, pairs[0][0], own) ~ ')'
            ) -%}
        {%- endif -%}
    {%- elif own['is_any'] -%}
        {%- do unknown.append(tested.name) -%}
    {%- endif -%}
    {#- what a row points at may be gone though the row itself did not change -#}
    {%- for name, state in states.items() if name != tested.name and state['is_any'] -%}
        {%- set parent = state['node'] -%}
        {%- set named = [] -%}
        {%- for entity, column in touched_columns(parent.config) if column == arguments.get('field') -%}
            {%- do named.append(entity) -%}
        {%- endfor -%}
        {%- if state['is_all'] or not named -%}
            {%- do unknown.append(name) -%}
        {%- else -%}
            {%- set gone -%}
                select gone.entity_id
                from ({{ touched_since(name, named[0], state, as_text=true) }}) as gone
                where not exists (
                    select 1
                    from {{ parent.relation_name }} as parents
                    where cast(parents.{{ arguments['field'] }} as {{ dbt.type_string() }}) = gone.entity_id
                )
            {%- endset -%}
            {#- asked first: mostly nothing is gone, and then the rows need not be searched for it -#}
            {%- if run_query(gone ~ ' limit 1') | length > 0 -%}
                {%- do rows.append(
                    'cast(' ~ arguments['column_name'] ~ ' as ' ~ dbt.type_string() ~ ') in (' ~ gone ~ ')'
                ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set note = [] -%}
    {%- for name, state in states.items() -%}
        {%- do note.append('/*tested:' ~ name ~ ':' ~ state['touch_id'] ~ (':all*/' if unknown else ':touched*/')) -%}
    {%- endfor -%}
    {{- return({
        'conditions': [] if unknown else (rows or ['false']),
        'note': note | join(' '),
    }) -}}
{%- endmacro %}
