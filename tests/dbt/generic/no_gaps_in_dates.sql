{% test no_gaps_in_dates(model, column, partition_by=[]) %}
    {%- set keys = partition_by | join(', ') %}
    with

    days as (

        select distinct
            {% if keys %}{{ keys }},{% endif %}
            {{ column }} as date_day
        from {{ model }}
        where {{ column }} is not null

    ),

    neighbours as (

        select
            {% if keys %}{{ keys }},{% endif %}
            date_day,
            lead(date_day) over (
                {% if keys %}partition by {{ keys }}{% endif %}
                order by date_day asc
            ) as next_date_day
        from days

    )

    select *
    from neighbours
    where next_date_day <> {{ dbt.dateadd('day', 1, 'date_day') }}
{% endtest %}
