{#-
    dbt's own, where anything changed that the table stands on; else it is left as it is. Of two builds at once the second
    waits, and finds it made.
-#}
{% materialization table, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set may_stay = existing is not none and existing.is_table and not should_full_refresh() -%}
    {%- if not (may_stay and what_changed(sql) == 'nothing') -%}
        {%- do run_query('select ' ~ relation_lock("'" ~ this ~ "'")) -%}
        {%- if not (may_stay and what_changed(sql) == 'nothing') -%}
            {%- set made = dbt.materialization_table_default() -%}
            {%- do note_written() -%}
            {{- return(made) -}}
        {%- endif -%}
    {%- endif -%}
    {%- do store_raw_result('main', message='nothing was touched', code='SKIP', rows_affected=0) -%}
    {{- return({'relations': [existing]}) -}}
{% endmaterialization %}
