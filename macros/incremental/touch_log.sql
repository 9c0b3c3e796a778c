{% macro touch_log(table) -%}
    {{- return(api.Relation.create(database=target.database, schema='ops', identifier=table)) -}}
{%- endmacro %}
