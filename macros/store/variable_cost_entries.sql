{% macro variable_cost_entries() -%}
'adjustment', 'payment_fee', 'payment_fee_estimate', 'shipping_cost', 'fulfilment', 'packaging', 'return_handling'
{%- endmacro %}
