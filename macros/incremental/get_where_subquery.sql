{#
    dbt's own, which it calls for the model of every generic test. A test that looks at each row by itself,
    of a model that logs what it changes, reads only the entities that changed since it last passed.
#}
{% macro postgres__get_where_subquery(relation) -%}
    {%- set conditions = [config.get('where')] if config.get('where') else [] -%}
    {%- set scope = test_scope(relation) -%}
    {%- if scope['condition'] -%}
        {%- do conditions.append('(' ~ scope['condition'] ~ ')') -%}
    {%- endif -%}
    {%- if conditions -%}
        {{- return('(select * from ' ~ relation ~ ' where ' ~ conditions | join(' and ') ~ ') dbt_subquery ' ~ scope['note']) -}}
    {%- endif -%}
    {{- return(relation ~ ' ' ~ scope['note'] if scope['note'] else relation) -}}
{%- endmacro %}
