{% macro touched(entity, by=none) -%}
    (
        select touched_keys.entity_id
        from touched_keys
        where
            touched_keys.entity = '{{ entity }}'
            {%- if by %}
            and touched_keys.model = '{{ by }}'
            {%- endif %}
    )
{%- endmacro %}
