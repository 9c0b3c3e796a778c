{#
    dbt's own, which it calls in every build. Around it: an increment by entities is narrowed to those
    that were touched; a model that is built from nothing notes its marks and touches everything.
#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
    {%- set strategy = config.get('incremental_strategy') -%}
    {%- if model.resource_type != 'model' or not is_tracked(model) -%}
        {{- dbt.postgres__create_table_as(temporary, relation, sql) -}}
    {%- elif not temporary -%}
        {{ hash_joins() }};
        {%- if strategy == 'by_document' %}
        {{ mark_documents(sql) }};
        {% else %}
        {{ mark_built(sql) }};
        {% endif %}

        {# not after it: dbt takes the number of rows from the last command -#}
        insert into {{ touch_log('touched') }} (model, entity, entity_id)
        values ('{{ model.name }}', '*', '*');

        {{ dbt.postgres__create_table_as(temporary, relation, sql) }}
    {%- elif strategy == 'by_entity' and config.get('contract').enforced -%}
        {#- with the types of the contract: a number is to be compared as it is stored -#}
        {%- set rows = touched_rows_only(sql) -%}
        {%- set names = model.columns.values() | map(attribute='name') | join(', ') %}
        create temporary table {{ relation }} ({{ contract_columns() }});

        insert into {{ relation }} ({{ names }})
        select {{ names }}
        from (
            {{ rows }}
        ) as new_rows;
    {%- elif strategy == 'by_entity' -%}
        {{- dbt.postgres__create_table_as(temporary, relation, touched_rows_only(sql)) -}}
    {%- else -%}
        {{- dbt.postgres__create_table_as(temporary, relation, changed_documents_only(sql)) -}}
    {%- endif -%}
    {%- if temporary and model.resource_type == 'model' and is_tracked(model) and holds_personal_data(model) -%}
        {#- the target would refuse a null too, but show its row; a document without elements has no position -#}
        {%- set position = (config.get('meta') or {}).get('element_position') %}
        {%- for name in columns_not_null(model) if name != position %}
        alter table {{ relation }} alter column {{ name }} set not null;
        {%- endfor %}
    {%- endif -%}
{%- endmacro %}
