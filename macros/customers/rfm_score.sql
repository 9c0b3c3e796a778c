{% macro rfm_score(order_by, partition_by) -%}
cast(
            least(5, 1 + floor(5 * percent_rank() over (partition by {{ partition_by }} order by {{ order_by }})))
            as {{ dbt.type_int() }}
        )
{%- endmacro %}
