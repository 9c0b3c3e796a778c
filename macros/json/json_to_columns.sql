{% macro json_to_columns(relation, document, columns, keep) -%}
    {{- return(adapter.dispatch('json_to_columns', 'ledgerline')(relation, document, columns, keep)) -}}
{%- endmacro %}

{#-
    Three steps, each evaluated once a row (a function scan, then two subqueries that offset 0
    keeps from being inlined): the document is decompressed once and split into its top-level
    fields; the fields' paths are followed; the values are cast. Written as nested expressions,
    each column would decompress the whole document several times over.
-#}
{% macro postgres__json_to_columns(relation, document, columns, keep) -%}
    {%- set names = [] -%}
    {%- set fields = [] -%}
    {%- for name, type, paths in columns -%}
        {%- do names.append(name) -%}
        {%- for path in ([paths] if paths is string else paths) if path != '$' -%}
            {%- do fields.append(path.split('.')[0]) -%}
        {%- endfor -%}
    {%- endfor -%}
    select
        {% for column in keep -%}
        {{ relation }}.{{ column }},
        {% endfor -%}
        {% for name in names -%}
        typed.{{ name }},
        {% endfor -%}
        nullif(concat_ws(
            ','
            {%- for name in names %},
            case when found.{{ name }} is not null and typed.{{ name }} is null then '{{ name }}' end
            {%- endfor %}
        ), '') as cast_failures
    from {{ relation }}
    {%- if fields %}
    cross join lateral jsonb_to_record(
        case when jsonb_typeof({{ relation }}.{{ document }}) = 'object' then {{ relation }}.{{ document }} else '{}' end
    ) as fields (
        {%- for field in fields | unique %}
        "{{ field }}" jsonb{{ ',' if not loop.last }}
        {%- endfor %}
    )
    {%- endif %}
    cross join lateral (
        select
            {%- for name, type, paths in columns %}
            {%- set values = [] %}
            {%- for path in ([paths] if paths is string else paths) %}
                {%- if path == '$' %}
                    {%- do values.append(json_value(relation ~ '.' ~ document, '$')) %}
                {%- else %}
                    {%- set steps = path.split('.') %}
                    {%- do values.append(json_value('fields."' ~ steps[0] ~ '"', steps[1:] | join('.') or '$')) %}
                {%- endif %}
            {%- endfor %}
            {#- an empty string is a field that was left out #}
            nullif({{ 'coalesce(' ~ values | join(', ') ~ ')' if values | length > 1 else values[0] }}, '""') as {{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
        offset 0
    ) as found
    cross join lateral (
        select
            {%- for name, type, paths in columns %}
            {{ safe_cast_json('found.' ~ name, type) }} as {{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
        offset 0
    ) as typed
{%- endmacro %}
