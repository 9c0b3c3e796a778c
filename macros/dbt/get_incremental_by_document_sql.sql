{% macro get_incremental_by_document_sql(arg_dict) -%}
    {{- return(adapter.dispatch('get_incremental_by_document_sql', 'ledgerline')(arg_dict)) -}}
{%- endmacro %}

{#-
    dbt's own delete+insert deletes the keys that it finds in the new rows. A document whose
    array became empty brings no row, so its old rows would stay for ever. Here the new rows
    hold one marker for each such document (json_array_rows keeps it with a null position):
    its key takes part in the delete, the marker itself is not inserted. All statements read
    the one temporary table, so a load that commits meanwhile cannot come between them.

    Documents whose rows came out as they were (but for the time of loading) are replaced, not logged.
-#}
{% macro postgres__get_incremental_by_document_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set changes = arg_dict['temp_relation'] -%}
    {%- set document_key = arg_dict['unique_key'] -%}
    {%- set position = (config.get('meta') or {}).get('element_position') -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {%- if document_key is not string -%}
        {{ exceptions.raise_compiler_error(
            "incremental_strategy by_document needs unique_key: the one column with the document's id"
        ) }}
    {%- endif %}
    {%- set names = arg_dict['dest_columns'] | map(attribute='name') | reject('equalto', '_loaded_at') | list -%}
    {%- set values = [] -%}
    {%- for column in arg_dict['dest_columns'] if column.name in names -%}
        {%- do values.append(column.quoted) -%}
    {%- endfor -%}
    {%- set old_rows -%}
        select {{ values | join(', ') }}
        from {{ target }}
        where {{ document_key }} in (select {{ document_key }} from {{ changes }})
    {%- endset -%}
    {%- set new_rows -%}
        select {{ values | join(', ') }}
        from {{ changes }}
        {% if position %}where {{ position }} is not null{% endif %}
    {%- endset -%}
    create temporary table changed_rows on commit drop as
    ({{ old_rows }} except all {{ new_rows }})
    union all
    ({{ new_rows }} except all {{ old_rows }});

    {{ log_all_touches('changed_rows', [document_key], names) }}

    delete from {{ target }}
    where {{ document_key }} in (select {{ document_key }} from {{ changes }});

    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ changes }}
    {%- if position %}
    where {{ position }} is not null
    {%- endif %}
{%- endmacro %}
