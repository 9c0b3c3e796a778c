{#-
    Both sides add up to the same. Where they do so for each entity of a kind that both log, entity and entity_column name
    it: then a build compares the entities that were touched.
-#}
{% test sum_matches(
    model, expression, to, to_expression,
    group_by=[], tolerance=0, condition='true', to_condition='true', entity=none, entity_column=none
) %}
    {%- set keys = group_by | join(', ') %}
    with

    left_sums as (

        select
            {% if keys %}{{ keys }},{% endif %}
            sum({{ expression }}) as left_sum
        from {{ model }}
        where {{ condition }}
        {% if keys %}group by {{ keys }}{% endif %}

    ),

    right_sums as (

        select
            {% if keys %}{{ keys }},{% endif %}
            sum({{ to_expression }}) as right_sum
        from {{ to }}
        where
            {{ to_condition }}
            {% if entity %}and {{ is_tested(entity, entity_column) }}{% endif %}
        {% if keys %}group by {{ keys }}{% endif %}

    ),

    -- a union, not a full join: a null in a key is a group like any other
    both_sides as (

        select {% if keys %}{{ keys }}, {% endif %}left_sum, cast(null as {{ dbt.type_numeric() }}) as right_sum
        from left_sums

        union all

        select {% if keys %}{{ keys }}, {% endif %}cast(null as {{ dbt.type_numeric() }}) as left_sum, right_sum
        from right_sums

    ),

    compared as (

        select
            {% if keys %}{{ keys }},{% endif %}
            coalesce(sum(left_sum), 0) as left_sum,
            coalesce(sum(right_sum), 0) as right_sum
        from both_sides
        {% if keys %}group by {{ keys }}{% endif %}

    )

    select *
    from compared
    where abs(left_sum - right_sum) > {{ tolerance }}
{% endtest %}
