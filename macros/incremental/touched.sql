{% macro touched(entity) -%}
    (select touched_keys.entity_id from touched_keys where touched_keys.entity = '{{ entity }}')
{%- endmacro %}
