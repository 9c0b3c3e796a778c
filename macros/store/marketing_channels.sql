{% macro marketing_channels() -%}
    {{- return([
        'direct', 'paid_search', 'paid_social', 'display', 'affiliate', 'email', 'sms',
        'organic_search', 'organic_social', 'referral', 'other',
    ]) -}}
{%- endmacro %}
