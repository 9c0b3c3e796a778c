{#
    An amount in the store's currency: × `fx_rate`, rounded; unchanged where it already is in it, so
    that a stated amount is never rounded; 0 where no rate is known (the order is then excluded with
    reason `no_exchange_rate`).

    Arguments:
        amount: a numeric expression in the row's currency.
        currency: the row's currency, default the column `currency`.
        fx_rate: store currency per unit of that currency, default the column `fx_rate`.
#}
{% macro to_store_currency(amount, currency='currency', fx_rate='fx_rate') -%}
case
            when {{ currency }} = {{ store_currency() }} then {{ amount }}
            when {{ fx_rate }} is null then 0
            else {{ round_money(amount ~ ' * ' ~ fx_rate) }}
        end
{%- endmacro %}
