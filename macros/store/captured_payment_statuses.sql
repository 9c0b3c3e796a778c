{#
    The payment states (lower case) in which the money has reached the shop, as a list for `in (…)`.
    `refunded` is among them: the money came in before it went back.
#}
{% macro captured_payment_statuses() -%}
'captured', 'paid', 'succeeded', 'settled', 'completed', 'refunded', 'partially_refunded'
{%- endmacro %}
