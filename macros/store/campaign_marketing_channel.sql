{% macro campaign_marketing_channel(channel) -%}
    case {{ channel }}
            when 'search' then 'paid_search'
            when 'social' then 'paid_social'
            when 'email' then 'email'
            when 'affiliate' then 'affiliate'
            when 'display' then 'display'
            when 'sms' then 'sms'
            else 'other'
        end
{%- endmacro %}
