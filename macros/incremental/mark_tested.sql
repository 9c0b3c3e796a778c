{% macro mark_tested(results) -%}
    {{- return(adapter.dispatch('mark_tested', 'ledgerline')(results)) -}}
{%- endmacro %}

{% macro default__mark_tested(results) -%}
{%- endmacro %}

{#- A test that failed keeps its mark: the next time it reads the same rows again. -#}
{% macro postgres__mark_tested(results) -%}
    {%- set marks = [] -%}
    {%- for result in results if execute and flags.WHICH in ('build', 'test') and result.node.resource_type == 'test' and result.status == 'pass' -%}
        {%- set names = [] -%}
        {#- a singular test's SQL says first what of it was narrowed -#}
        {%- set noted = (result.node.compiled_code or '') ~ graph.nodes.get(result.node.unique_id, {}).get('ledgerline_note', '') -%}
        {%- for name, touch_id, scope in modules.re.findall('/[*]tested:(.+?):([0-9]+):(all|touched)[*]/', noted) if name not in names -%}
            {%- do names.append(name) -%}
            {%- do marks.append(
                "('" ~ result.node.unique_id ~ "', '" ~ name ~ "', " ~ touch_id ~ ', '
                ~ ('now()' if scope == 'all' else 'cast(null as timestamp with time zone)') ~ ')'
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if marks -%}
    insert into {{ touch_log('tested') }} (test, model, touch_id, all_at)
    values
    {{ marks | join(',\n    ') }}
    on conflict (test, model) do update
    set
        touch_id = excluded.touch_id,
        all_at = coalesce(excluded.all_at, tested.all_at)
    {%- endif -%}
{%- endmacro %}
