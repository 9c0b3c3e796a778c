{#
    The columns of a model that can't be null: those that its YAML calls so and, without a contract (which has to
    say it), those of an increment's key.
#}
{% macro columns_not_null(node) -%}
    {%- set names = [] -%}
    {%- if node.config.get('incremental_strategy') == 'by_entity' and not node.config.get('contract').enforced -%}
        {%- set key = node.config.get('unique_key') or [] -%}
        {%- do names.extend([key] if key is string else key) -%}
    {%- endif -%}
    {%- for column in node.columns.values() if column.name not in names -%}
        {%- for constraint in column.constraints or [] if constraint.type | string == 'not_null' -%}
            {%- do names.append(column.name) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(names) -}}
{%- endmacro %}
