{% macro campaign_code(name) -%}
    replace(replace(lower(trim({{ name }})), '-', '_'), ' ', '_')
{%- endmacro %}
