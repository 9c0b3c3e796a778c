{#
    Whether a column of the model is marked `meta.pii`. Postgres shows the whole row that a constraint refuses, which
    ends in logs; of a filled table that is altered it names the column alone.
#}
{% macro holds_personal_data(node) -%}
    {%- for column in node.columns.values() if (column.config.meta or column.meta or {}).get('pii') -%}
        {{- return(true) -}}
    {%- endfor -%}
    {{- return(false) -}}
{%- endmacro %}
