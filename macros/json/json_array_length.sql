{% macro json_array_length(document, path) -%}
    {{- return(adapter.dispatch('json_array_length', 'ledgerline')(document, path)) -}}
{%- endmacro %}

{% macro postgres__json_array_length(document, path) -%}
    {%- set elements = json_value(document, path) -%}
    case jsonb_typeof({{ elements }})
        when 'array' then jsonb_array_length({{ elements }})
        when 'object' then (select count(*) from jsonb_object_keys({{ elements }}))
        else 0
    end
{%- endmacro %}
