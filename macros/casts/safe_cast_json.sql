{% macro safe_cast_json(value, type) -%}
    {%- set casts = {
        'text': safe_text,
        'code': safe_code,
        'id': shop_id,
        'number': safe_number,
        'integer': safe_integer,
        'boolean': safe_boolean,
        'timestamp': safe_timestamp,
        'date': safe_date,
    } -%}
    {%- if type not in casts -%}
        {{ exceptions.raise_compiler_error(
            "no safe cast to '" ~ type ~ "': use one of " ~ casts.keys() | join(', ')
        ) }}
    {%- endif -%}
    {{- casts[type](value) -}}
{%- endmacro %}
