{#
    Whether a test that looks at each row by itself has passed because another test of its model read the same rows
    and found none that breaks it. The first of them asks for all in one query. A test that finds rows reads them by its
    own SQL, for its message; so does one whose SQL is not what was asked, or whose result hangs on more than there
    being no rows.
#}
{% macro is_read_with_others(sql) -%}
    {%- set own = by_row_condition(model) -%}
    {%- set relation = graph.nodes.get(model.unique_id, {}).get('ledgerline_reads') -%}
    {%- if not own or not relation or own not in sql or relation not in sql or should_store_failures() -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set known = test_marks()['by_row'] -%}
    {%- if relation not in known -%}
        {#- one that can't be asked, for an error in it, fails the first test and itself, not all the others -#}
        {%- do known.update({relation: {}}) -%}
        {%- set conditions = [] -%}
        {%- for test in test_marks()['tests'].get(model.depends_on.nodes[0], []) if (test.config.where or '') == (config.get('where') or '') -%}
            {%- set condition = by_row_condition(test) -%}
            {%- if condition and condition not in conditions and test.unique_id in selected_resources -%}
                {%- do conditions.append(condition) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if conditions | length > 1 -%}
            {%- set sums = [] -%}
            {%- for condition in conditions -%}
                {%- do sums.append('sum(case when ' ~ condition ~ ' then 1 else 0 end) as failures_' ~ loop.index) -%}
            {%- endfor -%}
            {%- set found = run_query('select ' ~ sums | join(', ') ~ ' from ' ~ relation) -%}
            {%- set failures = {} -%}
            {%- for condition in conditions -%}
                {%- do failures.update({condition: found[0][loop.index0] or 0}) -%}
            {%- endfor -%}
            {%- do known.update({relation: failures}) -%}
        {%- endif -%}
    {%- endif -%}
    {{- return(known[relation].get(own) == 0) -}}
{%- endmacro %}
