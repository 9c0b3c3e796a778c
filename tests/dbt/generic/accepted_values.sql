{#- dbt's own looks at the values once all are counted: the same rows -#}
{% test accepted_values(model, column_name, values, quote=true) %}
    select
        {{ column_name }} as value_field,
        count(*) as n_records
    from {{ model }}
    where {{ failing_row('accepted_values', {'column_name': column_name, 'values': values, 'quote': quote}) }}
    group by {{ column_name }}
{% endtest %}
