{% macro marketing_channel(source, medium) -%}
{%- set s = "lower(trim(" ~ source ~ "))" -%}
{%- set m = "replace(replace(lower(trim(" ~ medium ~ ")), '-', '_'), ' ', '_')" -%}
case
        when coalesce({{ s }}, '') in ('', 'direct', '(direct)') and coalesce({{ m }}, '') in ('', 'none', '(none)')
            then 'direct'
        when {{ m }} in ('cpc', 'ppc', 'paid_search', 'sem') then 'paid_search'
        when {{ m }} in ('paid_social', 'paidsocial', 'cpm_social') then 'paid_social'
        when {{ m }} in ('display', 'banner', 'cpm') then 'display'
        when {{ m }} in ('affiliate', 'affiliates') then 'affiliate'
        when {{ m }} in ('email', 'e_mail', 'mail') then 'email'
        when {{ m }} in ('sms', 'text') then 'sms'
        when {{ m }} in ('organic', 'seo') then 'organic_search'
        when {{ m }} in ('social', 'social_media') then 'organic_social'
        when {{ m }} in ('referral', 'link') then 'referral'
        else 'other'
    end
{%- endmacro %}
