{#
    For the test that is being compiled, of each model in it that logs what it changes: the newest touch,
    whether there is any since the test last passed, and whether all of the model has to be read: because
    the test never passed, the model was built from nothing, or all was last read too long ago.
#}
{% macro test_states() -%}
    {%- set nodes = {} -%}
    {%- for unique_id in model.depends_on.nodes if unique_id in graph.nodes and is_tracked(graph.nodes[unique_id]) -%}
        {%- do nodes.update({graph.nodes[unique_id].name: graph.nodes[unique_id]}) -%}
    {%- endfor -%}
    {%- set states = {} -%}
    {%- if nodes -%}
        {%- set found = run_query(
            "select models.model,"
            ~ " coalesce(newest.touch_id, tested.touch_id, 0) as touch_id,"
            ~ " coalesce(tested.touch_id, 0) as tested_touch_id,"
            ~ " newest.touch_id is not null as is_any,"
            ~ " tested.model is null or coalesce(newest.has_all, false)"
            ~ " or tested.all_at < now() - interval '" ~ var('test_everything_days', 7) ~ " days' as is_all"
            ~ " from (values ('" ~ nodes.keys() | join("'), ('") ~ "')) as models (model)"
            ~ " left join " ~ touch_log('tested') ~ " as tested"
            ~ " on models.model = tested.model and tested.test = '" ~ model.unique_id ~ "'"
            ~ " left join lateral (select max(touched.touch_id) as touch_id, bool_or(touched.entity = '*') as has_all"
            ~ " from " ~ touch_log('touched') ~ " as touched where touched.model = models.model"
            ~ " and touched.touch_id > coalesce(tested.touch_id, 0)) as newest on true"
        ) -%}
        {%- for row in found -%}
            {%- do states.update({row['model']: {
                'node': nodes[row['model']],
                'touch_id': row['touch_id'] | int,
                'tested_touch_id': row['tested_touch_id'] | int,
                'is_any': row['is_any'],
                'is_all': row['is_all'] or flags.WHICH == 'test' or var('test_scope', 'touched') == 'all',
            }}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(states) -}}
{%- endmacro %}
