{% macro store_timezone() -%}
    '{{ env_var('LEDGERLINE_STORE_TIMEZONE', 'Europe/London') | replace("'", "''") }}'
{%- endmacro %}
