{% macro spend_ratios() -%}
    {{ ratio('costed_demand_amount', 'demand_amount') }} as cost_coverage,
    {{ ratio('cm2_amount - spend_amount', 'spend_amount') }} as roi_on_cm2,
    {{ ratio('revenue_amount - spend_amount', 'spend_amount') }} as roi_on_revenue,
    {{ ratio('revenue_amount', 'spend_amount') }} as roas,
    {{ ratio('net_sales_amount', 'spend_amount') }} as net_roas,
    {{ ratio('new_customer_revenue_amount', 'spend_amount') }} as new_customer_roas,
    {{ ratio('gross_profit_amount', 'spend_amount') }} as poas,
    {{ ratio('platform_revenue_amount', 'spend_amount') }} as platform_roas,
    {{ ratio('revenue_amount', 'case when cm2_amount > 0 then cm2_amount end') }} as break_even_roas,
    {{ ratio('spend_amount', 'new_customers') }} as cpa,
    {{ ratio('spend_amount', 'attributed_orders') }} as cpo,
    {{ ratio('clicks', 'impressions') }} as ctr,
    {{ ratio('spend_amount', 'clicks') }} as cpc,
    {{ ratio('1000 * spend_amount', 'impressions') }} as cpm,
    {{ ratio('platform_conversions', 'attributed_orders') }} as platform_overclaim
{%- endmacro %}
