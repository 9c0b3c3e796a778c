{% macro paid_channels() -%}
    'paid_search', 'paid_social', 'display', 'affiliate', 'sms'
{%- endmacro %}
