{#- dbt's own, where anything changed that a model of the strategy `by_entity` stands on -#}
{% materialization incremental, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- if
        config.get('incremental_strategy') == 'by_entity'
        and existing is not none and existing.is_table and not should_full_refresh() and is_untouched(sql)
    -%}
        {%- do store_raw_result('main', message='nothing was touched', code='SKIP', rows_affected=0) -%}
        {{- return({'relations': [existing]}) -}}
    {%- endif -%}
    {%- set made = dbt.materialization_incremental_default() -%}
    {%- do note_written() -%}
    {{- return(made) -}}
{% endmaterialization %}
