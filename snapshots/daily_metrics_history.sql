{% snapshot daily_metrics_history %}
{{
    config(
        unique_key='day_key',
        strategy='check',
        check_cols=[
            'orders', 'gross_sales_amount', 'discount_amount', 'returns_amount', 'net_sales_amount',
            'shipping_amount', 'tax_amount', 'total_sales_amount', 'cogs_amount', 'marketing_spend_amount',
        ],
        hard_deletes='invalidate',
    )
}}

-- days that are over; a change of one of them is a restatement (models/quality/restatements)
select
    store_id || ' ' || cast(metric_date as {{ dbt.type_string() }}) as day_key,
    store_id,
    metric_date,
    orders,
    gross_sales_amount,
    discount_amount,
    returns_amount,
    net_sales_amount,
    shipping_amount,
    tax_amount,
    total_sales_amount,
    cogs_amount,
    marketing_spend_amount
from {{ ref('agg_daily_metrics') }}
where is_complete
{% endsnapshot %}
