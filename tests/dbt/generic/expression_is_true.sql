{#- null is not true: an identity over columns that may be null has to say so itself -#}
{% test expression_is_true(model, expression, column_name=none) %}
    select *
    from {{ model }}
    where not coalesce({{ column_name or '' }} {{ expression }}, false)
{% endtest %}
