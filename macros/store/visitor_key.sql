{% macro visitor_key(visitor_id, otherwise) -%}
    case
            when {{ visitor_id }} is not null then {{ surrogate_key(["'visitor'", visitor_id]) }}
            else {{ surrogate_key(["'alone'", otherwise]) }}
        end
{%- endmacro %}
