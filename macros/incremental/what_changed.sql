{#
    What changed since a model was last built: 'nothing', what it reads ('parents': their rows, a seed, a view) or the
    'model' itself. One question, so that a build in which little has happened costs little.
#}
{% macro what_changed(sql) -%}
    {%- set asked -%}
        {%- if config.get('incremental_strategy') == 'by_document' -%}
        select case when is_changed then 'model' else 'parents' end as what
        from (
            select
                not exists (
                    select 1
                    from {{ touch_log('built') }} as built
                    where
                        built.model = '{{ model.name }}'
                        and built.parent = '{{ model.name }}'
                        and built.checksum = '{{ model_checksum(sql) }}'
                ) as is_changed,
                {%- for unique_id in model.depends_on.nodes %}
                {{ 'or ' if not loop.first }}exists (
                    select 1
                    from {{ graph.sources[unique_id].relation_name }} as documents
                    where documents._loaded_at > coalesce(({{ documents_watermark() }}), '-infinity')
                )
                {%- endfor %} as is_newer
        ) as states
        where is_changed or is_newer
        {%- else -%}
        select case when edges.parent = '{{ model.name }}' then 'model' else 'parents' end as what
        from (
            {{ edges(sql) }}
        ) as edges (parent, checksum)
        left join {{ touch_log('built') }} as built
            on
                edges.parent = built.parent
                and built.model = '{{ model.name }}'
        where
            built.model is null
            or built.checksum is distinct from edges.checksum
            or edges.parent <> '{{ model.name }}'
            and exists (
                select 1
                from {{ touch_log('touched') }} as touched
                where
                    touched.model = edges.parent
                    and touched.touch_id > built.touch_id
            )
        order by what asc
        limit 1
        {%- endif -%}
    {%- endset -%}
    {%- set found = run_query(asked) -%}
    {%- if found | length > 0 -%}
        {{- return(found[0][0]) -}}
    {%- endif -%}
    {%- set is_known = config.get('incremental_strategy') == 'by_document' or not parent_nodes(model)['untracked'] -%}
    {{- return('nothing' if is_known else 'parents') -}}
{%- endmacro %}
