{#
    dbt's own asks information_schema, which joins a dozen catalogues and is asked four times in an increment.
    The same answer from pg_attribute.
#}
{% macro postgres__get_columns_in_relation(relation) -%}
    {%- call statement('get_columns_in_relation', fetch_result=True) %}
        select
            attributes.attname as column_name,
            format_type(attributes.atttypid, null) as data_type,
            information_schema._pg_char_max_length(attributes.atttypid, attributes.atttypmod)
                as character_maximum_length,
            information_schema._pg_numeric_precision(attributes.atttypid, attributes.atttypmod) as numeric_precision,
            information_schema._pg_numeric_scale(attributes.atttypid, attributes.atttypmod) as numeric_scale
        from pg_attribute as attributes
        where
            attributes.attrelid = to_regclass('{{ relation }}')
            and attributes.attnum > 0
            and not attributes.attisdropped
        order by attributes.attnum asc
    {%- endcall -%}
    {{- return(sql_convert_columns_in_relation(load_result('get_columns_in_relation').table)) -}}
{%- endmacro %}
