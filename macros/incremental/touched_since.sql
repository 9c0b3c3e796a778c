{% macro touched_since(name, entity, state, as_text=false) -%}
    {#- what is set apart is logged for every changed row -#}
    {%- set node = graph.nodes['model.' ~ model.package_name ~ '.' ~ name] -%}
    {%- set logged = [entity] -%}
    {%- for apart, read in (node.config.meta or {}).get('set_apart', {}).items() if [entity, read['key']] in touched_columns(node.config) -%}
        {%- do logged.append(apart) -%}
    {%- endfor -%}
    {%- set type = dbt.type_string() if as_text else entity_type(entity) -%}
    {{- return(
        'select cast(touched.entity_id as ' ~ type ~ ') as entity_id from ' ~ touch_log('touched') ~ ' as touched'
        ~ " where touched.model = '" ~ name ~ "' and touched.entity = '" ~ logged[-1] ~ "'"
        ~ ' and touched.touch_id > ' ~ state['tested_touch_id'] ~ ' and touched.touch_id <= ' ~ state['touch_id']
    ) -}}
{%- endmacro %}
