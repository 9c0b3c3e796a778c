{#
    Which rows a generic test has to read: {'conditions': SQL, a row that meets any of them; none for all
    rows, 'false' for no rows; 'note': what mark_tested reads when the test has passed}.
#}
{% macro test_scope(relation) -%}
    {%- set everything = {'conditions': [], 'note': ''} -%}
    {%- if not execute or flags.WHICH not in ('build', 'test') or model.resource_type != 'test' or should_store_failures() -%}
        {{- return(everything) -}}
    {%- endif -%}
    {%- set due = test_is_due() -%}
    {%- if due['note'] -%}
        {{- return({'conditions': [] if due['is_due'] else ['false'], 'note': due['note'] if due['is_due'] else ''}) -}}
    {%- endif -%}
    {%- set tested = graph.nodes.get(model.attached_node) -%}
    {%- set test_name = model.test_metadata.name -%}
    {%- set arguments = model.test_metadata.kwargs -%}
    {%- if arguments.get('entity') -%}
        {%- set condition = is_tested(arguments['entity'], arguments['entity_column']) -%}
        {#- its note comes with it -#}
        {%- set is_false = condition.startswith('false ') -%}
        {{- return({'conditions': ['false' if is_false else condition], 'note': condition[6:] if is_false else ''}) -}}
    {%- endif -%}
    {%- set states = test_states() -%}
    {%- set parents = parent_nodes(model) -%}
    {%- set is_proven = is_proven_by_catalogue(relation, test_name, arguments) -%}
    {%- set is_by_row = test_name in (
        'not_null', 'accepted_values', 'accepted_range', 'expression_is_true', 'not_null_where',
        'relationships', 'relationships_where'
    ) -%}
    {%- set rows = [] -%}
    {%- set unknown = [] -%}
    {%- if is_proven -%}
    {%- elif not tested or relation | string != tested.relation_name or test_name == 'recency' -%}
        {{- return(everything) -}}
    {%- elif is_by_row and is_tracked(tested) -%}
        {%- set own = states[tested.name] -%}
        {%- set pairs = touched_columns(tested.config) -%}
        {%- if own['is_all'] -%}
            {%- do unknown.append(tested.name) -%}
        {%- elif own['is_any'] and ((tested.config.meta or {}).get('entity_column') or tested.config.incremental_strategy == 'by_document') -%}
            {%- do rows.append(
                pairs[0][1] ~ ' in (' ~ touched_since(tested.name, pairs[0][0], own) ~ ')'
            ) -%}
        {%- elif own['is_any'] -%}
            {%- do unknown.append(tested.name) -%}
        {%- endif -%}
        {#- what a row points at may be gone though the row itself did not change; a table that is made anew names no rows,
            then it is found when all is read -#}
        {%- for name, state in states.items() if name != tested.name and state['is_any'] and state['node'].config.materialized != 'table' -%}
            {%- set parent = state['node'] -%}
            {%- set named = [] -%}
            {%- for entity, column in touched_columns(parent.config) if column == arguments.get('field') -%}
                {%- do named.append(entity) -%}
            {%- endfor -%}
            {%- if state['is_all'] or not named -%}
                {%- do unknown.append(name) -%}
            {%- elif not unknown -%}
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
    {%- else -%}
        {#- what looks at rows together reads them all, unless none of its tables was touched -#}
        {%- do unknown.extend(parents['untracked'] + parents['seeds'].keys() | list) -%}
        {%- for name, state in states.items() if state['is_all'] or state['is_any'] -%}
            {%- do unknown.append(name) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set note = [] -%}
    {%- for name, state in states.items() -%}
        {%- do note.append('/*tested:' ~ name ~ ':' ~ state['touch_id'] ~ (':all*/' if unknown or is_proven else ':touched*/')) -%}
    {%- endfor -%}
    {{- return({
        'conditions': [] if unknown else (rows or ['false']),
        'note': note | join(' '),
    }) -}}
{%- endmacro %}
