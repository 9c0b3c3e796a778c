{#
    What the tests of a run ask again and again, asked once: {'marks': what ops.tested holds, by test and model, which
    is written when the run ends; 'touched': the newest touches when the first test asked, 'newest': those that
    newest_touch has found; 'constraints': what table_constraints finds; 'tests': by model those that read it
    alone, 'by_row': what is_read_with_others finds; 'passed': the result of a test that has nothing to read}. Kept in `graph`, the one thing that all nodes of a
    run share; an earlier run's are another invocation's.
#}
{% macro test_marks() -%}
    {%- set known = graph.get('ledgerline_test_marks', {}) -%}
    {%- if known.get('invocation_id') == invocation_id -%}
        {{- return(known) -}}
    {%- endif -%}
    {%- set due = "now() - interval '" ~ var('test_everything_days', 7) ~ " days'" -%}
    {%- set found = run_query(
        'select test, model, touch_id,'
        ~ ' coalesce(all_at < ' ~ due ~ ', false) as is_old, coalesce(all_at >= ' ~ due ~ ', false) as is_fresh'
        ~ ' from ' ~ touch_log('tested')
    ) -%}
    {%- set marks = {} -%}
    {%- for row in found -%}
        {%- do marks.update({row['test'] ~ ' ' ~ row['model']: {
            'touch_id': row['touch_id'] | int,
            'is_old': row['is_old'],
            'is_fresh': row['is_fresh'],
        }}) -%}
    {%- endfor -%}
    {%- set tests = {} -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test' and test.depends_on.nodes | length == 1 -%}
        {%- do tests.setdefault(test.depends_on.nodes[0], []).append(test) -%}
    {%- endfor -%}
    {%- set known = {
        'invocation_id': invocation_id,
        'marks': marks,
        'touched': newest_touches(),
        'newest': {},
        'constraints': none,
        'tests': tests,
        'by_row': {},
        'passed': run_query('select 0 as failures, false as should_warn, false as should_error'),
    } -%}
    {%- do graph.update({'ledgerline_test_marks': known}) -%}
    {{- return(known) -}}
{%- endmacro %}
