-- The roll-up holds the whole ledger: every measure, by event day and by order day, summed over everything.
-- Once a week: recon_money compares each day that changed in each build.
{{ config(meta={'tested': 'weekly'}) }}
with

ledger as (

    select
        sum(case when entry_type in ('sale', 'discount', 'return') then amount else 0 end) as net_sales_amount,
        sum(case when entry_type = 'shipping' then amount else 0 end) as shipping_amount,
        sum(case when entry_type = 'tax' then amount else 0 end) as tax_amount,
        sum(case when entry_type = 'adjustment' then amount else 0 end) as adjustment_amount,
        -sum(case when entry_type in ('cogs', 'cogs_return') then amount else 0 end) as cogs_amount,
        -sum(
            case
                when
                    entry_type in (
                        'payment_fee', 'payment_fee_estimate', 'shipping_cost', 'fulfilment', 'packaging', 'return_handling'
                    )
                    then amount
                else 0
            end
        ) as fees_amount
    from {{ ref('fct_sales_ledger') }}
    where is_countable

),

daily as (

    select
        sum(net_sales_amount) as net_sales_amount,
        sum(order_basis_net_sales_amount) as order_basis_net_sales_amount,
        sum(shipping_amount) as shipping_amount,
        sum(tax_amount) as tax_amount,
        sum(adjustment_amount) as adjustment_amount,
        sum(cogs_amount) as cogs_amount,
        sum(variable_cost_amount + adjustment_amount) as fees_amount
    from {{ ref('agg_daily_metrics') }}

)

select
    ledger.net_sales_amount,
    daily.net_sales_amount as daily_net_sales_amount
from ledger
cross join daily
where
    coalesce(ledger.net_sales_amount, 0) <> coalesce(daily.net_sales_amount, 0)
    or coalesce(ledger.net_sales_amount, 0) <> coalesce(daily.order_basis_net_sales_amount, 0)
    or coalesce(ledger.shipping_amount, 0) <> coalesce(daily.shipping_amount, 0)
    or coalesce(ledger.tax_amount, 0) <> coalesce(daily.tax_amount, 0)
    or coalesce(ledger.adjustment_amount, 0) <> coalesce(daily.adjustment_amount, 0)
    or coalesce(ledger.cogs_amount, 0) <> coalesce(daily.cogs_amount, 0)
    or coalesce(ledger.fees_amount, 0) <> coalesce(daily.fees_amount, 0)
