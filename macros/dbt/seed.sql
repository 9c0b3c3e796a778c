{#- dbt's own, where the file changed, or what the project says of it; else the table is left as it is -#}
{% materialization seed, adapter='postgres' %}
    {%- set checksum = local_md5([model.checksum.checksum, config.get('column_types'), config.get('grants')] | string) -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- if existing is not none and existing.is_table and not should_full_refresh() and stands_as_made(checksum) -%}
        {#- dbt asks each seed for it -#}
        {%- do store_result('agate_table', response='OK') -%}
        {%- do store_raw_result('main', message='unchanged', code='SKIP', rows_affected=0) -%}
        {{- return({'relations': [existing]}) -}}
    {%- endif -%}
    {%- do note_made(checksum) -%}
    {{- return(dbt.materialization_seed_default()) -}}
{% endmaterialization %}
