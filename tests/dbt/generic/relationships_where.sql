{% test relationships_where(model, column_name, to, field, condition='true', to_condition='true') %}
    with

    children as (

        select distinct {{ column_name }} as child_key
        from {{ model }}
        where
            {{ column_name }} is not null
            and ({{ condition }})

    ),

    parents as (

        select {{ field }} as parent_key
        from {{ to }}
        where {{ to_condition }}

    )

    select children.child_key
    from children
    left join parents
        on children.child_key = parents.parent_key
    where parents.parent_key is null
{% endtest %}
