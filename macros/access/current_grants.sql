{% macro current_grants(relation) -%}
    {%- set query -%}
        with relation as (
            select oid, relacl from pg_catalog.pg_class where oid = to_regclass('{{ relation }}')
        ), grants as (
            select pg_get_userbyid(acl.grantee) as role_name, '*' as columns
            from relation cross join lateral aclexplode(relation.relacl) as acl
            where acl.privilege_type = 'SELECT'
            union all
            select pg_get_userbyid(acl.grantee), string_agg(attributes.attname, ',' order by attributes.attname collate "C")
            from relation
            inner join pg_catalog.pg_attribute as attributes on attributes.attrelid = relation.oid
            cross join lateral aclexplode(attributes.attacl) as acl
            where acl.privilege_type = 'SELECT'
            group by acl.grantee
        )
        select role_name || ' ' || columns from grants where starts_with(role_name, 'ledgerline_')
    {%- endset -%}
    {{- return(run_query(query).columns[0].values() | list) -}}
{%- endmacro %}
