{#
    Logs an entity only where one of the given columns changed: who reads a product's category need not
    compute its sales anew when its price moves.
    {entity: {'key': column, 'columns': [those that matter], 'by': [what makes a row of the key one row]}}.
#}
{% macro log_narrow_touches(changes, narrow) -%}
    {%- for entity, read in narrow.items() %}
    insert into {{ touch_log('touched') }} (model, entity, entity_id)
    select distinct
        '{{ model.name }}',
        '{{ entity }}',
        narrowed.entity_id
    from (
        select cast({{ read['key'] }} as {{ dbt.type_string() }}) as entity_id
        from {{ changes }}
        where {{ read['key'] }} is not null
        group by {{ ([read['key']] + read.get('by', [])) | join(', ') }}
        -- the old row and the new one
        having count(*) <> 2 or count(distinct ({{ read['columns'] | join(', ') }}, 1)) > 1
    ) as narrowed;
    {%- endfor -%}
{%- endmacro %}
