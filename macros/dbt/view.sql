{#
    dbt's own makes another view and changes names, which two builds at once can't do, and drops what stands on the
    old one. Ours is replaced where it is; it is made anew only where its columns became others, and left as it is where
    nothing of it changed: our views name their columns, so what they read changes none of them.
#}
{% materialization view, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set relation = this.incorporate(type='view') -%}
    {%- set checksum = model_checksum(sql) -%}
    {%- if existing is not none and existing.is_view and not should_full_refresh() and stands_as_made(checksum) -%}
        {%- do store_raw_result('main', message='unchanged', code='SKIP', rows_affected=0) -%}
        {{- return({'relations': [existing]}) -}}
    {%- endif -%}
    {{- run_hooks(pre_hooks, inside_transaction=False) -}}
    {{- run_hooks(pre_hooks, inside_transaction=True) -}}
    {%- if existing is not none and not existing.is_view -%}
        {%- do adapter.drop_relation(existing) -%}
    {%- endif -%}
    {%- call statement('main') -%}
        do $replace_view$
        declare definition text := $definition$
            {{ get_replace_view_sql(relation, sql) }}
        $definition$;
        begin
            -- Postgres refuses two sessions that replace it at the same moment
            perform {{ relation_lock("'" ~ relation ~ "'") }};
            execute definition;
        exception when invalid_table_definition then
            drop view {{ relation }} cascade;
            execute definition;
        end
        $replace_view$
    {%- endcall -%}
    {%- do apply_grants(relation, config.get('grants'), should_revoke=existing is not none) -%}
    {%- do persist_docs(relation, model) -%}
    {%- do note_made(checksum) -%}
    {{- run_hooks(post_hooks, inside_transaction=True) -}}
    {%- do adapter.commit() -%}
    {{- run_hooks(post_hooks, inside_transaction=False) -}}
    {{- return({'relations': [relation]}) -}}
{%- endmaterialization %}
