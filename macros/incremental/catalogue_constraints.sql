{% macro catalogue_constraints() -%}
    {%- set asked -%}
        select
            keys.indrelid as table_id,
            string_agg(attributes.attname, ',') as column_names,
            true as is_unique,
            not bool_and(attributes.attnotnull) as has_nulls
        from pg_catalog.pg_index as keys
        inner join pg_catalog.pg_attribute as attributes
            on
                keys.indrelid = attributes.attrelid
                and attributes.attnum = any(keys.indkey[0:keys.indnkeyatts - 1])
        where
            keys.indisunique
            and keys.indisvalid
            and keys.indpred is null
            and keys.indexprs is null
        group by keys.indrelid, keys.indexrelid

        union all

        select
            attributes.attrelid as table_id,
            string_agg(attributes.attname, ',') as column_names,
            false as is_unique,
            false as has_nulls
        from pg_catalog.pg_attribute as attributes
        where
            attributes.attnum > 0
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
        group by attributes.attrelid
    {%- endset -%}
    {%- set named -%}
        select
            format('"%s"."%s"."%s"', current_database(), schemas.nspname, relations.relname) as table_name,
            constraints.column_names,
            constraints.is_unique,
            constraints.has_nulls
        from ({{ asked }}) as constraints
        inner join pg_catalog.pg_class as relations
            on constraints.table_id = relations.oid
        inner join pg_catalog.pg_namespace as schemas
            on relations.relnamespace = schemas.oid
        where schemas.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    {%- endset -%}
    {%- set tables = {} -%}
    {%- for row in run_query(named) -%}
        {%- do tables.setdefault(row['table_name'], []).append({
            'columns': row['column_names'].split(','),
            'is_unique': row['is_unique'],
            'has_nulls': row['has_nulls'],
        }) -%}
    {%- endfor -%}
    {{- return(tables) -}}
{%- endmacro %}
