{#
    What the tests of a run ask again and again, asked once: {'marks': what ops.tested holds, by test and model, which
    is written when the run ends; 'least': by model the oldest of the marks; 'newest': what newest_touch finds;
    'constraints': what table_constraints finds; 'passed': the result of a test that has nothing to read}. Kept in
    `graph`, the one thing that all nodes of a run share; an earlier run's are another invocation's.
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
    {%- set least = {} -%}
    {%- for row in found -%}
        {%- set touch_id = row['touch_id'] | int -%}
        {%- do marks.update({row['test'] ~ ' ' ~ row['model']: {
            'touch_id': touch_id,
            'is_old': row['is_old'],
            'is_fresh': row['is_fresh'],
        }}) -%}
        {%- do least.update({row['model']: [touch_id, least.get(row['model'], touch_id)] | min}) -%}
    {%- endfor -%}
    {%- set known = {
        'invocation_id': invocation_id,
        'marks': marks,
        'least': least,
        'newest': {},
        'constraints': {},
        'passed': run_query('select 0 as failures, false as should_warn, false as should_error'),
    } -%}
    {%- do graph.update({'ledgerline_test_marks': known}) -%}
    {{- return(known) -}}
{%- endmacro %}
