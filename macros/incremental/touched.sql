{% macro touched(entity, by=none) -%}
    (
        select cast(touched_keys.entity_id as {{ entity_type(entity) }}) as entity_id
        from touched_keys
        where
            touched_keys.entity = '{{ entity }}'
            {%- if by %}
            and touched_keys.model = '{{ by }}'
            {%- endif %}
    )
{%- endmacro %}
