{% test expression_is_true(model, expression, column_name=none) %}
    select *
    from {{ model }}
    where {{ failing_row('expression_is_true', {'column_name': column_name, 'expression': expression}) }}
{% endtest %}
