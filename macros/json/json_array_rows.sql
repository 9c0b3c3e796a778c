{% macro json_array_rows(relation, document, path, keep) -%}
    {{- return(adapter.dispatch('json_array_rows', 'ledgerline')(relation, document, path, keep)) -}}
{%- endmacro %}

{% macro postgres__json_array_rows(relation, document, path, keep) -%}
    select
        {% for column in keep -%}
        {{ relation }}.{{ column }},
        {% endfor -%}
        elements.element_position,
        elements.element_key,
        elements.element
    from {{ relation }}
    cross join lateral (
        -- read (and decompressed) once a document: offset 0 keeps the planner from inlining it
        select {{ json_value(relation ~ '.' ~ document, path) }} as elements offset 0
    ) as list
    {{ 'left' if is_incremental() else 'inner' }} join lateral (
        select
            entry.element_position,
            cast(null as text) as element_key,
            entry.element
        from jsonb_array_elements(
            case when jsonb_typeof(list.elements) = 'array' then list.elements end
        ) with ordinality as entry (element, element_position)
        union all
        select
            entry.element_position,
            entry.element_key,
            entry.element
        from jsonb_each(
            case when jsonb_typeof(list.elements) = 'object' then list.elements end
        ) with ordinality as entry (element_key, element, element_position)
    ) as elements on true
{%- endmacro %}
