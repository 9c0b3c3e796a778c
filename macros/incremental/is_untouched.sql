{#
    Whether nothing that a model stands on has changed since it was last built: no parent's rows, no seed, not the model
    itself. One question, so that a build in which little has happened costs little.
#}
{% macro is_untouched(sql) -%}
    {%- if parent_nodes(model)['untracked'] -%}
        {{- return(false) -}}
    {%- endif -%}
    {%- set changed -%}
        select 1
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
        limit 1
    {%- endset -%}
    {{- return(run_query(changed) | length == 0) -}}
{%- endmacro %}
