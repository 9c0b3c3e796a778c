-- What the refunds of an order give back by day is what the ledger has of it: goods, tax and restocked cost.
with

ledger as (

    select
        order_id,
        event_date,
        sum(case when is_source_line then 1 else 0 end) as line_count,
        -sum(case when is_source_line then amount else 0 end) as goods_amount,
        -sum(case when entry_type = 'tax' then amount else 0 end) as tax_amount,
        sum(case when entry_type = 'cogs_return' then amount else 0 end) as restocked_cogs_amount
    from {{ ref('fct_sales_ledger') }}
    where
        {{ is_tested('order', 'order_id') }}
        and source_type = 'refund'
    group by order_id, event_date

),

lines as (

    select
        order_id,
        refund_date,
        count(*) as line_count,
        sum(goods_amount) as goods_amount,
        sum(case when measure not in ('gift_card', 'test') then tax_amount else 0 end) as tax_amount,
        sum(coalesce(restocked_cogs_amount, 0)) as restocked_cogs_amount
    from {{ ref('fct_refund_lines') }}
    where {{ is_tested('order', 'order_id') }}
    group by order_id, refund_date

)

select
    coalesce(ledger.order_id, lines.order_id) as order_id,
    coalesce(ledger.event_date, lines.refund_date) as event_date
from ledger
full outer join lines
    on
        ledger.order_id = lines.order_id
        and ledger.event_date = lines.refund_date
where
    coalesce(ledger.line_count, 0) <> coalesce(lines.line_count, 0)
    or coalesce(ledger.goods_amount, 0) <> coalesce(lines.goods_amount, 0)
    or coalesce(ledger.tax_amount, 0) <> coalesce(lines.tax_amount, 0)
    or coalesce(ledger.restocked_cogs_amount, 0) <> coalesce(lines.restocked_cogs_amount, 0)
