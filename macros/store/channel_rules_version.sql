{% macro channel_rules_version() -%}
    2
{%- endmacro %}
