{% macro place_key(level, relation) -%}
    {%- set parts = {'country': ['country_code'], 'region': ['country_code', 'region'], 'city': ['country_code', 'region', 'city']} -%}
    {%- set columns = ["'" ~ level ~ "'"] -%}
    {%- for part in parts[level] -%}
        {%- do columns.append(relation ~ '.' ~ part) -%}
    {%- endfor -%}
    {{ surrogate_key(columns) }}
{%- endmacro %}
