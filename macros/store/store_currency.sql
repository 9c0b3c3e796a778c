{% macro store_currency() -%}
    '{{ env_var('LEDGERLINE_STORE_CURRENCY', 'GBP') | upper | replace("'", "''") }}'
{%- endmacro %}
