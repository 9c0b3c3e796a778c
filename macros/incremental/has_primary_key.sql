{% macro has_primary_key(node) -%}
    {%- set constraints = node.constraints | map(attribute='type') | list -%}
    {%- for column in node.columns.values() -%}
        {%- for constraint in column.constraints or [] -%}
            {%- do constraints.append(constraint.type) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(node.config.contract.enforced and 'primary_key' in constraints | map('string') | list) -}}
{%- endmacro %}
