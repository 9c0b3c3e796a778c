{% macro round_to_decimals(amount, decimals) -%}
case {{ decimals }}
            when 0 then round({{ amount }}, 0)
            when 3 then round({{ amount }}, 3)
            else round({{ amount }}, 2)
        end
{%- endmacro %}
