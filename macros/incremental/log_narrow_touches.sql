{#
    Logs an entity only where one of the given columns changed: who reads a product's category need not
    compute its sales anew when its price moves. {entity: {'key': column, 'columns': [those that matter]}}.
#}
{% macro log_narrow_touches(changes, narrow) -%}
    {%- for entity, read in narrow.items() %}
    insert into {{ touch_log('touched') }} (model, entity, entity_id)
    select
        '{{ model.name }}',
        '{{ entity }}',
        cast({{ read['key'] }} as {{ dbt.type_string() }})
    from {{ changes }}
    where {{ read['key'] }} is not null
    group by {{ read['key'] }}
    -- the old row and the new one
    having count(*) <> 2 or count(distinct ({{ read['columns'] | join(', ') }}, 1)) > 1;
    {%- endfor -%}
{%- endmacro %}
