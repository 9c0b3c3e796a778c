{% macro log_touches(changes, pairs) -%}
    insert into {{ touch_log('touched') }} (model, entity, entity_id)
    select distinct
        '{{ model.name }}',
        keys.entity,
        keys.entity_id
    from {{ changes }} as changes
    cross join lateral (
        values
        {%- for entity, column in pairs %}
        ('{{ entity }}', cast(changes.{{ column }} as {{ dbt.type_string() }})){{ ',' if not loop.last }}
        {%- endfor %}
    ) as keys (entity, entity_id)
    where keys.entity_id is not null
{%- endmacro %}
