{#
    dbt's own, which it calls in every build. Around it: an increment by entities is narrowed to those
    that were touched; a model that is built from nothing notes its marks and touches everything.
#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
    {%- set strategy = config.get('incremental_strategy') -%}
    {%- if model.resource_type != 'model' or not is_tracked(model) -%}
        {{- dbt.postgres__create_table_as(temporary, relation, sql) -}}
    {%- elif not temporary -%}
        {%- if strategy == 'by_entity' %}
        {{ mark_built(sql) }};
        {% endif %}
        {{ dbt.postgres__create_table_as(temporary, relation, sql) }}

        insert into {{ touch_log('touched') }} (model, entity, entity_id)
        values ('{{ model.name }}', '*', '*');
    {%- elif strategy == 'by_entity' -%}
        {{- dbt.postgres__create_table_as(temporary, relation, touched_rows_only(sql)) -}}
    {%- else -%}
        {%- do run_query('lock table ' ~ this ~ ' in share row exclusive mode') -%}
        {{- dbt.postgres__create_table_as(temporary, relation, sql) -}}
    {%- endif -%}
{%- endmacro %}
