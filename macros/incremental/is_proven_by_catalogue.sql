{#
    Whether a constraint of the table, as it is in the database, proves for every row what a test asks: a unique index, for
    uniqueness; that the column can't be null. An index that is missing or invalid proves nothing, whatever YAML promises.
#}
{% macro is_proven_by_catalogue(relation, test_name, arguments) -%}
    {%- set is_proven = [] -%}
    {%- if var('test_scope', 'touched') != 'all' and test_name in ('not_null', 'unique', 'unique_grain') -%}
        {%- set columns = arguments.get('columns') or [arguments.get('column_name')] -%}
        {%- for constraint in table_constraints(relation) -%}
            {%- if test_name == 'not_null' -%}
                {%- if columns[0] in constraint['columns'] and not constraint['is_unique'] -%}
                    {%- do is_proven.append(true) -%}
                {%- endif -%}
            {#- an index tells no two nulls apart, a test of a grain does -#}
            {%- elif
                constraint['is_unique']
                and constraint['columns'] | reject('in', columns) | list | length == 0
                and (test_name == 'unique' or not constraint['has_nulls'])
            -%}
                {%- do is_proven.append(true) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(is_proven | length > 0) -}}
{%- endmacro %}
