{% macro create_roles() -%}
    {{- return(adapter.dispatch('create_roles', 'ledgerline')()) -}}
{%- endmacro %}

{% macro default__create_roles() -%}
{%- endmacro %}

{#-
    Roles belong to the server and schemas to the database: another build, in this database or in the
    next, may do the same at the same time. What is there is left alone, so that a build writes nothing.
-#}
{% macro postgres__create_roles() -%}
do $access$
declare
    wanted record;
begin
    for wanted in
        select role_name
        from unnest(array[
            'ledgerline_reader', 'ledgerline_finance', 'ledgerline_pii', 'ledgerline_ml', 'ledgerline_loader'
        ]) as roles (role_name)
        where to_regrole(role_name) is null
    loop
        begin
            execute format('create role %I nologin', wanted.role_name);
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'role % is missing and user % may not create roles: let an administrator run `create role % nologin`',
                    wanted.role_name, current_user, wanted.role_name;
        end;
    end loop;

    -- whoever may see costs, people or features sees what a reader sees as well
    for wanted in
        select role_name
        from unnest(array['ledgerline_finance', 'ledgerline_pii', 'ledgerline_ml']) as roles (role_name)
        where not pg_has_role(role_name, 'ledgerline_reader', 'member')
    loop
        begin
            execute format('grant ledgerline_reader to %I', wanted.role_name);
        exception when others then
            if not pg_has_role(wanted.role_name, 'ledgerline_reader', 'member') then
                raise;
            end if;
        end;
    end loop;

    for wanted in
        select role_name, schema_name
        from (values
            {%- for role, schemas in access_schemas().items() %}
            {%- set last = loop.last %}
            {%- for schema in schemas %}
            ('{{ role }}', '{{ schema }}'){{ '' if last and loop.last else ',' }}
            {%- endfor %}
            {%- endfor %}
        ) as grants (role_name, schema_name)
        where
            to_regnamespace(schema_name) is not null
            and not has_schema_privilege(role_name, schema_name, 'usage')
    loop
        execute format('grant usage on schema %I to %I', wanted.schema_name, wanted.role_name);
    end loop;

    -- who writes: the loader into raw and its books, the models into ml; tables of today and to come
    for wanted in
        select role_name, schema_name
        from (values
            ('ledgerline_loader', 'raw'), ('ledgerline_loader', 'ops'), ('ledgerline_loader', 'shadow'),
            ('ledgerline_ml', 'ml')
        ) as grants (role_name, schema_name)
        where
            to_regnamespace(schema_name) is not null
            and not has_schema_privilege(role_name, schema_name, 'create')
    loop
        execute format('grant usage, create on schema %I to %I', wanted.schema_name, wanted.role_name);
        execute format(
            'alter default privileges in schema %I grant select, insert, update, delete, truncate on tables to %I',
            wanted.schema_name, wanted.role_name
        );
        execute format(
            'alter default privileges in schema %I grant usage on sequences to %I',
            wanted.schema_name, wanted.role_name
        );
        execute format(
            'grant select, insert, update, delete, truncate on all tables in schema %I to %I',
            wanted.schema_name, wanted.role_name
        );
        execute format('grant usage on all sequences in schema %I to %I', wanted.schema_name, wanted.role_name);
    end loop;
end
$access$
{%- endmacro %}
