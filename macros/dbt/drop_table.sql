{#
    dbt's own, which it calls for a table's old version once the new one has its name. What stands on the old one
    would go with it: views with other systems' names till their turn comes, those that people made for good. They
    are set on the new one first, each under the lock of the materialization view. One table after another: a view is set
    anew with locks on all that it reads, and two tables of one view would wait for each other.
#}
{% macro postgres__drop_table(relation) -%}
    {%- set suffix = '__dbt_backup' -%}
    {%- if relation.identifier.endswith(suffix) %}
        {%- set name = relation.identifier[:-(suffix | length)] -%}
        do $follow$
        declare
            follower record;
        begin
            perform {{ relation_lock("'views follow'") }};
            for follower in
                select distinct
                    views.oid::regclass as view,
                    format('"%s"."%s"."%s"', current_database(), views.relnamespace::regnamespace, views.relname) as name
                from pg_catalog.pg_depend as depends
                inner join pg_catalog.pg_rewrite as rules on rules.oid = depends.objid
                inner join pg_catalog.pg_class as views on views.oid = rules.ev_class and views.relkind = 'v'
                where depends.classid = 'pg_catalog.pg_rewrite'::regclass
                    and depends.refclassid = 'pg_catalog.pg_class'::regclass
                    and depends.refobjid = to_regclass('{{ relation }}')
                    and to_regclass('{{ relation.incorporate(path={"identifier": name}) }}') is not null
                order by name
            loop
                perform {{ relation_lock('follower.name') }};
                begin
                    execute format(
                        'create or replace view %s as %s',
                        follower.view, replace(pg_get_viewdef(follower.view), '{{ relation.identifier }}', '{{ name }}')
                    );
                exception when others then  -- it needs what the new version has not, or is somebody else's
                    raise warning 'view % goes with the table that it reads: %', follower.view, sqlerrm;
                end;
            end loop;
        end
        $follow$;
    {%- endif %}
    drop table if exists {{ relation }} cascade
{%- endmacro %}
