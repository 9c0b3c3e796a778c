{#- Touches of the kinds `entities` that a model takes over now, of whatever parent; none where it takes over everything -#}
{% macro touches_to_take_over(columns, entities) -%}
    select
        {%- for column in columns %}
        touched.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ touch_log('touched') }} as touched
    inner join touched_edges
        on
            touched.model = touched_edges.parent
            and touched.touch_id > touched_edges.built_touch_id
            and touched.touch_id <= touched_edges.touch_id
    where
        touched.entity in ('{{ entities | join("', '") }}')
        and not exists (select 1 from touched_edges where is_all)
{%- endmacro %}
