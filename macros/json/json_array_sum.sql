{% macro json_array_sum(document, path, field) -%}
    {{- return(adapter.dispatch('json_array_sum', 'ledgerline')(document, path, field)) -}}
{%- endmacro %}

{% macro postgres__json_array_sum(document, path, field) -%}
    (
        select sum({{ safe_number(json_value('entry.element', field)) }})
        from jsonb_array_elements(
            case jsonb_typeof({{ document }} #> '{ {{- path.split('.') | join(',') -}} }')
                when 'array' then {{ document }} #> '{ {{- path.split('.') | join(',') -}} }'
            end
        ) as entry (element)
    )
{%- endmacro %}
