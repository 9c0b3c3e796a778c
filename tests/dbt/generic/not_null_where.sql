{% test not_null_where(model, column_name, condition) %}
    select *
    from {{ model }}
    where {{ failing_row('not_null_where', {'column_name': column_name, 'condition': condition}) }}
{% endtest %}
