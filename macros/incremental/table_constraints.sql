{#
    What the database says of a table, asked once a run: its unique indexes and its columns that can't be null, as
    [{'columns', 'is_unique', 'has_nulls'}]. To be asked for by tests alone: the table is built by then.
#}
{% macro table_constraints(relation) -%}
    {{- return(adapter.dispatch('table_constraints', 'ledgerline')(relation)) -}}
{%- endmacro %}

{% macro default__table_constraints(relation) -%}
    {{- return([]) -}}
{%- endmacro %}

{% macro postgres__table_constraints(relation) -%}
    {%- set known = test_marks()['constraints'] -%}
    {%- if relation | string not in known -%}
        {%- set asked -%}
            select
                string_agg(attributes.attname, ',') as column_names,
                true as is_unique,
                not bool_and(attributes.attnotnull) as has_nulls
            from pg_catalog.pg_index as keys
            inner join pg_catalog.pg_attribute as attributes
                on
                    keys.indrelid = attributes.attrelid
                    and attributes.attnum = any(keys.indkey[0:keys.indnkeyatts - 1])
            where
                keys.indrelid = to_regclass('{{ relation }}')
                and keys.indisunique
                and keys.indisvalid
                and keys.indpred is null
                and keys.indexprs is null
            group by keys.indexrelid

            union all

            select
                attributes.attname as column_names,
                false as is_unique,
                false as has_nulls
            from pg_catalog.pg_attribute as attributes
            where
                attributes.attrelid = to_regclass('{{ relation }}')
                and attributes.attnum > 0
                and attributes.attnotnull
                and not attributes.attisdropped
                -- Postgres 18 knows some that were not checked on the rows of before
                and not exists (
                    select 1
                    from pg_catalog.pg_constraint as constraints
                    where
                        constraints.conrelid = attributes.attrelid
                        and constraints.contype = 'n'
                        and not constraints.convalidated
                )
        {%- endset -%}
        {%- set constraints = [] -%}
        {%- for row in run_query(asked) -%}
            {%- do constraints.append({
                'columns': row['column_names'].split(','),
                'is_unique': row['is_unique'],
                'has_nulls': row['has_nulls'],
            }) -%}
        {%- endfor -%}
        {%- do known.update({relation | string: constraints}) -%}
    {%- endif -%}
    {{- return(known[relation | string]) -}}
{%- endmacro %}
