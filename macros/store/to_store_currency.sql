{% macro to_store_currency(amount, currency='currency', fx_rate='fx_rate') -%}
case
            when {{ currency }} = {{ store_currency() }} then {{ amount }}
            when {{ fx_rate }} is null then 0
            else {{ round_money(amount ~ ' * ' ~ fx_rate) }}
        end
{%- endmacro %}
