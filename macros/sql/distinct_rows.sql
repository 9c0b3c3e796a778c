{% macro distinct_rows(relation, key, columns=[]) -%}
    {{- return(adapter.dispatch('distinct_rows', 'ledgerline')(relation, key, columns)) -}}
{%- endmacro %}

{% macro default__distinct_rows(relation, key, columns) -%}
    {%- set names = ([key] + columns) | join(', ') -%}
    select {{ names }}
    from {{ relation }}
    where {{ key }} is not null
    group by {{ names }}
{%- endmacro %}

{#- From key to next key by the index: the cost is that of the keys, however many rows have each. -#}
{% macro postgres__distinct_rows(relation, key, columns) -%}
    {%- set names = ([key] + columns) | join(', ') -%}
    with recursive steps as (
        (
            select {{ names }}
            from {{ relation }}
            where {{ key }} is not null
            order by {{ key }} asc
            limit 1
        )

        union all

        select next_rows.*
        from steps
        cross join lateral (
            select {{ names }}
            from {{ relation }} as later_rows
            where later_rows.{{ key }} > steps.{{ key }}
            order by later_rows.{{ key }} asc
            limit 1
        ) as next_rows
    )

    select {{ names }}
    from steps
{%- endmacro %}
