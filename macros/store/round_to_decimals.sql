{#
    An amount rounded (half away from zero) to a currency's decimals, given as a column.

    Where the decimals are already on the row this costs no look-up; `round_money` looks them up by
    currency. A scale that is a column is not portable, hence the three cases that ISO 4217 has.

    Arguments:
        amount: a numeric expression.
        decimals: an integer expression; 0 (JPY), 2, 3 (KWD).
#}
{% macro round_to_decimals(amount, decimals) -%}
case {{ decimals }}
            when 0 then round({{ amount }}, 0)
            when 3 then round({{ amount }}, 3)
            else round({{ amount }}, 2)
        end
{%- endmacro %}
