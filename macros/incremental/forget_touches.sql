{% macro forget_touches() -%}
    {{- return(adapter.dispatch('forget_touches', 'ledgerline')()) -}}
{%- endmacro %}

{% macro postgres__forget_touches() -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
    {%- set names = ["''"] -%}
    {%- for node in graph.nodes.values() if is_tracked(node) -%}
        {%- do names.append("'" ~ node.name ~ "'") -%}
    {%- endfor -%}
    -- a model that is no more waits for nothing
    delete from {{ touch_log('built') }}
    where model not in ({{ names | join(', ') }});

    delete from {{ touch_log('touched') }} as touched
    where not exists (
        select 1
        from {{ touch_log('built') }} as built
        where
            built.parent = touched.model
            and built.model <> touched.model
            and built.touch_id < touched.touch_id
    )
    {%- endif -%}
{%- endmacro %}

{% macro default__forget_touches() -%}
{%- endmacro %}
