{% macro touched_since(name, entity, state, as_text=false) -%}
    {%- set type = dbt.type_string() if as_text else entity_type(entity) -%}
    {{- return(
        'select cast(touched.entity_id as ' ~ type ~ ') as entity_id from ' ~ touch_log('touched') ~ ' as touched'
        ~ " where touched.model = '" ~ name ~ "' and touched.entity = '" ~ entity ~ "'"
        ~ ' and touched.touch_id > ' ~ state['tested_touch_id'] ~ ' and touched.touch_id <= ' ~ state['touch_id']
    ) -}}
{%- endmacro %}
