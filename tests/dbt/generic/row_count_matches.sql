{% test row_count_matches(model, to=none, expected=none, condition='true', to_condition='true') %}
    {%- if (to is none) == (expected is none) -%}
        {{ exceptions.raise_compiler_error('row_count_matches needs either to or expected') }}
    {%- endif %}
    with

    counted as (

        select
            (select count(*) from {{ model }} where {{ condition }}) as row_count,
            {% if to is not none -%}
            (select count(*) from {{ to }} where {{ to_condition }}) as expected_count
            {%- else -%}
            {{ expected }} as expected_count
            {%- endif %}

    )

    select *
    from counted
    where row_count <> expected_count
{% endtest %}
