-- An order that was converted by the table of rates has the rate of its day in it.
{{ config(meta={'untracked': {
    'fct_exchange_rates': 'a rate that changes touches its orders by int_exchange_rates',
    'int_store_clock': 'an order of tomorrow is looked at when the week is over',
}}) }}
select
    orders.order_id,
    orders.fx_rate,
    rates.rate_to_store_currency
from {{ ref('fct_orders') }} as orders
left join {{ ref('fct_exchange_rates') }} as rates
    on
        orders.currency = rates.currency
        and orders.order_date = rates.rate_date
where
    {{ is_tested('order', 'orders.order_id') }}
    and orders.fx_source = 'exchange_rates'
    and orders.order_date <= {{ as_of_date() }}
    and orders.fx_rate is distinct from rates.rate_to_store_currency
