{% macro round_money(amount, currency=none) -%}
    {{- return(adapter.dispatch('round_money', 'ledgerline')(amount, currency or store_currency())) -}}
{%- endmacro %}

{#- A literal currency makes this one look-up a query; a column makes it one index look-up a row. -#}
{% macro default__round_money(amount, currency) -%}
    round({{ amount }}, coalesce(
        (select max(money.decimals) from {{ ref('currencies') }} as money where money.currency_code = {{ currency }}),
        2
    ))
{%- endmacro %}
