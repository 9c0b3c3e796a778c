{% macro touched_columns(config) -%}
    {%- set meta = config.get('meta') or {} -%}
    {%- set pairs = [] -%}
    {%- if config.get('incremental_strategy') == 'by_document' -%}
        {%- do pairs.append([config.get('unique_key')[:-3], config.get('unique_key')]) -%}
    {%- elif meta.get('entity_column') -%}
        {%- do pairs.append([meta['entity'], meta['entity_column']]) -%}
    {%- endif -%}
    {%- for entity, columns in (meta.get('touches') or {}).items() -%}
        {%- for column in ([columns] if columns is string else columns) -%}
            {%- if [entity, column] not in pairs -%}
                {%- do pairs.append([entity, column]) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(pairs) -}}
{%- endmacro %}
