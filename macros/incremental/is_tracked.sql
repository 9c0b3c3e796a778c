{% macro is_tracked(node) -%}
    {{- return(
        node.resource_type == 'model'
        and (
            node.config.materialized == 'table'
            or node.config.materialized == 'incremental'
            and node.config.incremental_strategy in ('by_document', 'by_entity')
        )
    ) -}}
{%- endmacro %}
