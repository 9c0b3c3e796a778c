{#
    The newest touch of a model that not all of its tests have passed yet, and the newest of all its entities:
    {'touch_id', 'all_touch_id'}, 0 where there is none. To be asked for by tests alone: the model is built by then.
#}
{% macro newest_touch(name) -%}
    {%- set known = test_marks() -%}
    {%- if name not in known['newest'] -%}
        {%- set found = run_query(
            'select coalesce(max(touch_id), 0) as touch_id,'
            ~ " coalesce(max(touch_id) filter (where entity = '*'), 0) as all_touch_id"
            ~ ' from ' ~ touch_log('touched')
            ~ " where model = '" ~ name ~ "' and touch_id > " ~ known['least'].get(name, 0)
        ) -%}
        {%- do known['newest'].update({name: {
            'touch_id': found[0]['touch_id'] | int,
            'all_touch_id': found[0]['all_touch_id'] | int,
        }}) -%}
    {%- endif -%}
    {{- return(known['newest'][name]) -}}
{%- endmacro %}
