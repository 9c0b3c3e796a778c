{% macro funnel_step(event_type) -%}
    case {{ event_type }}
            when 'purchase' then 5
            when 'add_payment' then 4
            when 'begin_checkout' then 4
            when 'add_to_cart' then 3
            when 'view_item' then 2
            else 1
        end
{%- endmacro %}
