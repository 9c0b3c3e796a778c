{#
    A select of the orders that take their exchange rate from the table of rates, on a day for which the
    rate came, went or changed: from the day of a touched rate to the next rate's.
#}
{% macro orders_of_touched_rates() -%}
    select orders.order_id
    from (
        select
            split_part(keys.rate_key, ' ', 1) as currency,
            cast(split_part(keys.rate_key, ' ', 2) as date) as valid_from
        from {{ touched('rate') }} as keys (rate_key)
    ) as rates
    inner join {{ this }} as orders
        on
            rates.currency = orders.currency
            and orders.fx_source in ('exchange_rates', 'missing')
            and orders.order_date >= rates.valid_from
    where not exists (
        select 1
        from {{ ref('int_exchange_rates') }} as next_rates
        where
            next_rates.currency = rates.currency
            and next_rates.valid_from > rates.valid_from
            and next_rates.valid_from <= orders.order_date
    )
{%- endmacro %}
