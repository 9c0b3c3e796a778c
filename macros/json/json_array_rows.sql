{% macro json_array_rows(relation, document, path, keep) -%}
    {{- return(adapter.dispatch('json_array_rows', 'ledgerline')(relation, document, path, keep)) -}}
{%- endmacro %}

{% macro postgres__json_array_rows(relation, document, path, keep) -%}
    {%- set lists = [] -%}
    {%- for one in ([path] if path is string else path) -%}
        {%- do lists.append(json_value(relation ~ '.' ~ document, one)) -%}
    {%- endfor -%}
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
        select {{ 'coalesce(' ~ lists | join(', ') ~ ')' if lists | length > 1 else lists[0] }} as elements offset 0
    ) as list
    {#- of an increment changed_documents_only makes a left join: a document without elements stays, as the marker
        that deletes its old rows #}
    inner {{ '/*or left*/ ' if config.get('incremental_strategy') == 'by_document' }}join lateral (
        select
            entry.element_position,
            cast(null as text) as element_key,
            entry.element
        from jsonb_array_elements(
            case
                when jsonb_typeof(list.elements) = 'array' then list.elements
                -- one value where a list was expected is a list of one
                when jsonb_typeof(list.elements) <> 'object' and list.elements <> '""' then jsonb_build_array(list.elements)
            end
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
