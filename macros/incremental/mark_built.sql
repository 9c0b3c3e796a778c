{#
    Notes which touches of its parents a model takes over now. It comes before anything is read: what a
    parent changes later has a higher number and is left for the next time.
#}
{% macro mark_built(sql) -%}
    drop table if exists touched_edges;

    create temporary table touched_edges on commit drop as
    select
        edges.parent,
        edges.checksum,
        coalesce(built.touch_id, 0) as built_touch_id,
        coalesce(newest.touch_id, built.touch_id, 0) as touch_id,
        -- never built, the model or a seed was changed, or the parent was built from nothing
        built.model is null
        or built.checksum is distinct from edges.checksum
        or coalesce(newest.has_all, false) as is_all
    from (
        {{ edges(sql) }}
    ) as edges (parent, checksum)
    left join {{ touch_log('built') }} as built
        on
            edges.parent = built.parent
            and built.model = '{{ model.name }}'
    left join lateral (
        select
            max(touched.touch_id) as touch_id,
            bool_or(touched.entity = '*') as has_all
        from {{ touch_log('touched') }} as touched
        where
            touched.model = edges.parent
            and touched.touch_id > coalesce(built.touch_id, 0)
    ) as newest
        on edges.parent <> '{{ model.name }}';

    delete from {{ touch_log('built') }}
    where model = '{{ model.name }}';

    insert into {{ touch_log('built') }} (model, parent, touch_id, checksum)
    select
        '{{ model.name }}',
        parent,
        touch_id,
        checksum
    from touched_edges
{%- endmacro %}
