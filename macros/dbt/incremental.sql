{#-
    dbt's own, where anything changed that the model stands on. A model that was itself changed is made anew where its
    rows can't be replaced in place: staging reads changed documents alone, and other columns need another table. Of two
    builds at once the second waits, and finds it made.
-#}
{% materialization incremental, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- if is_tracked(model) and existing is not none and existing.is_table and not should_full_refresh() -%}
        {%- set changed = what_changed(sql) -%}
        {%- if changed == 'model' and (config.get('incremental_strategy') == 'by_document' or has_other_columns(existing, sql)) -%}
            {#- for should_full_refresh -#}
            {%- do graph.nodes[model.unique_id].update({'ledgerline_made_anew_by': invocation_id}) -%}
            {%- do run_query('select ' ~ relation_lock("'" ~ this ~ "'")) -%}
            {%- set changed = what_changed(sql) -%}
        {%- endif -%}
        {%- if changed == 'nothing' -%}
            {%- do store_raw_result('main', message='nothing was touched', code='SKIP', rows_affected=0) -%}
            {{- return({'relations': [existing]}) -}}
        {%- endif -%}
    {%- endif -%}
    {%- set made = dbt.materialization_incremental_default() -%}
    {%- do note_written() -%}
    {{- return(made) -}}
{% endmaterialization %}
