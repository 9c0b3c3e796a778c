{% test accepted_range(model, column_name, min_value=none, max_value=none, inclusive=true) %}
    {%- if min_value is none and max_value is none -%}
        {{ exceptions.raise_compiler_error('accepted_range on ' ~ column_name ~ ' needs min_value, max_value or both') }}
    {%- endif %}
    select *
    from {{ model }}
    where {{ failing_row('accepted_range', {
        'column_name': column_name, 'min_value': min_value, 'max_value': max_value, 'inclusive': inclusive,
    }) }}
{% endtest %}
