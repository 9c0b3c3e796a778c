{#- A table without rows is not recent. -#}
{% test recency(model, column_name, datepart, interval, as_of='current_timestamp') %}
    with

    newest as (

        select max({{ column_name }}) as newest
        from {{ model }}

    )

    select newest
    from newest
    where
        newest is null
        or newest < {{ dbt.dateadd(datepart, -interval, as_of) }}
{% endtest %}
