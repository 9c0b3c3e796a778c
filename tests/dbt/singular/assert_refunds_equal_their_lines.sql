-- Σ lines = refund, for goods, other lines and tax, and all parts together are what was paid back.
with

lines as (

    select
        refund_key,
        sum(quantity) as returned_quantity,
        sum(case when measure = 'return' then goods_amount else 0 end) as goods_amount,
        sum(case when measure = 'return' then 0 else goods_amount end) as other_lines_amount,
        sum(tax_amount) as tax_amount
    from {{ ref('fct_refund_lines') }}
    where {{ is_tested('order', 'order_id') }}
    group by refund_key

)

select refunds.refund_key
from {{ ref('fct_refunds') }} as refunds
left join lines
    on refunds.refund_key = lines.refund_key
where
    {{ is_tested('order', 'refunds.order_id') }}
    and (
        refunds.returned_quantity <> coalesce(lines.returned_quantity, 0)
        or refunds.goods_amount <> coalesce(lines.goods_amount, 0)
        or refunds.other_lines_amount <> coalesce(lines.other_lines_amount, 0)
        or refunds.tax_amount <> coalesce(lines.tax_amount, 0)
    )
