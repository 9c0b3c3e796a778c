{% macro newest_touches() -%}
    {%- set asked -%}
        select
            touched.model,
            max(touched.touch_id) as touch_id,
            coalesce(max(touched.touch_id) filter (where touched.entity = '*'), 0) as all_touch_id
        from {{ touch_log('touched') }} as touched
        left join (
            select
                model,
                min(touch_id) as touch_id
            from {{ touch_log('tested') }}
            group by model
        ) as passed
            on touched.model = passed.model
        where touched.touch_id > coalesce(passed.touch_id, 0)
        group by touched.model
    {%- endset -%}
    {%- set touched = {} -%}
    {%- for row in run_query(asked) -%}
        {%- do touched.update({row['model']: {
            'touch_id': row['touch_id'] | int,
            'all_touch_id': row['all_touch_id'] | int,
        }}) -%}
    {%- endfor -%}
    {{- return(touched) -}}
{%- endmacro %}
