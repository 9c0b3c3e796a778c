{% macro captured_payment_statuses() -%}
'captured', 'paid', 'succeeded', 'settled', 'completed', 'refunded', 'partially_refunded'
{%- endmacro %}
