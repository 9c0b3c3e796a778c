{% macro forget_touches() -%}
    {{- return(adapter.dispatch('forget_touches', 'ledgerline')()) -}}
{%- endmacro %}

{% macro postgres__forget_touches() -%}
    {%- if execute and flags.WHICH in ('run', 'build', 'test') -%}
    {%- set names = ["''"] -%}
    {%- for node in graph.nodes.values() if is_tracked(node) or node.resource_type == 'seed' or node.config.materialized == 'view' -%}
        {%- do names.append("'" ~ node.name ~ "'") -%}
    {%- endfor -%}
    {%- set tests = ["''"] -%}
    {%- set weekly = ["''"] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'test' -%}
        {%- do tests.append("'" ~ node.unique_id ~ "'") -%}
        {%- if is_tested_weekly(node) -%}
            {%- do weekly.append("'" ~ node.unique_id ~ "'") -%}
        {%- endif -%}
    {%- endfor -%}
    -- a model that is no more waits for nothing
    delete from {{ touch_log('built') }}
    where model not in ({{ names | join(', ') }});

    delete from {{ touch_log('tested') }}
    where
        test not in ({{ tests | join(', ') }})
        -- from when it was not weekly: these marks stand still
        or (test in ({{ weekly | join(', ') }}) and model not like '%@%');

    delete from {{ touch_log('touched') }} as touched
    where not exists (
        select 1
        from {{ touch_log('built') }} as built
        where
            built.parent = touched.model
            and built.model <> touched.model
            and built.touch_id < touched.touch_id
    )
    and not exists (
        select 1
        from {{ touch_log('tested') }} as tested
        where
            tested.model = touched.model
            and tested.touch_id < touched.touch_id
    )
    {%- endif -%}
{%- endmacro %}

{% macro default__forget_touches() -%}
{%- endmacro %}
