-- Each fact's day is the day of its own clock in the store's zone: no fact is filed under another.
{% set clocks = [
    ('fct_orders', 'order_date', 'placed_at', 'order'),
    ('fct_order_items', 'order_date', 'ordered_at', 'order'),
    ('fct_refunds', 'refund_date', 'refunded_at', 'order'),
    ('fct_refund_lines', 'refund_date', 'refunded_at', 'order'),
    ('fct_payments', 'payment_date', 'paid_at', 'order'),
    ('fct_reviews', 'review_date', 'created_at', 'review'),
    ('fct_sales_ledger', 'event_date', 'event_at', 'order'),
] %}
{% for fact, day, clock, entity in clocks -%}
select
    '{{ fact }}' as fact,
    {{ day }} as filed_under,
    {{ clock }} as happened_at
from {{ ref(fact) }}
where
    {{ day }} is distinct from {{ local_date(clock) }}
    and {{ is_tested(entity, entity ~ '_id') }}
{% if not loop.last %}union all{% endif %}
{% endfor %}
