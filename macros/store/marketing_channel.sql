{% macro marketing_channel(source, medium) -%}
{%- set s = "replace(replace(replace(lower(trim(" ~ source ~ ")), '-', '_'), ' ', '_'), '.com', '')" -%}
{%- set m = "replace(replace(lower(trim(" ~ medium ~ ")), '-', '_'), ' ', '_')" -%}
case
        when coalesce({{ s }}, '') in ('', 'direct', '(direct)') and coalesce({{ m }}, '') in ('', 'none', '(none)')
            then 'direct'
        when {{ m }} in ('cpc', 'ppc', 'paid_search', 'paidsearch', 'sem', 'adwords') then 'paid_search'
        when {{ m }} in ('paid_social', 'paidsocial', 'cpm_social', 'paid_socail') then 'paid_social'
        when {{ m }} in ('display', 'banner', 'cpm', 'dispaly') then 'display'
        when {{ m }} in ('affiliate', 'affiliates', 'afiliate', 'affilate') then 'affiliate'
        when {{ m }} in ('email', 'e_mail', 'mail', 'newsletter', 'emial') then 'email'
        when {{ m }} in ('sms', 'text') then 'sms'
        when {{ m }} in ('organic', 'seo', 'organic_search') then 'organic_search'
        when {{ m }} in ('social', 'social_media', 'organic_social') then 'organic_social'
        when {{ m }} in ('referral', 'link', 'referal', 'refferal') then 'referral'
        -- no medium: what the source is known for without being paid
        when coalesce({{ m }}, '') not in ('', 'none', '(none)') then 'other'
        when {{ s }} in ('google', 'gogle', 'googel', 'bing', 'duckduckgo', 'yahoo', 'ecosia') then 'organic_search'
        when {{ s }} in ('facebook', 'facebok', 'fb', 'instagram', 'instagam', 'ig', 'tiktok', 'pinterest', 'twitter', 'x')
            then 'organic_social'
        when {{ s }} in ('newsletter', 'newsleter', 'mailchimp', 'klaviyo') then 'email'
        else 'other'
    end
{%- endmacro %}
