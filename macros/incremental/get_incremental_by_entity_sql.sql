{% macro get_incremental_by_entity_sql(arg_dict) -%}
    {{- return(adapter.dispatch('get_incremental_by_entity_sql', 'ledgerline')(arg_dict)) -}}
{%- endmacro %}

{#-
    The temporary table holds the new rows of the touched entities. Keys of which a row came, went or
    differs are replaced and logged; the others are left alone, so that a recomputation that changes
    nothing costs its reading and goes no further. Nulls are equal. Of new rows that share a key all are
    written where one differs: the table's unique index refuses them. An old row is deleted where it was read:
    the model's lock keeps it there, and most changed keys are new ones that no index need be asked for.
-#}
{% macro postgres__get_incremental_by_entity_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set rows = arg_dict['temp_relation'] -%}
    {%- set keys = [arg_dict['unique_key']] if arg_dict['unique_key'] is string else arg_dict['unique_key'] -%}
    {%- set key = keys | join(', ') -%}
    {%- set names = arg_dict['dest_columns'] | map(attribute='quoted') | list -%}
    {%- set columns = names | join(', ') -%}
    {%- set entity_column = (config.get('meta') or {}).get('entity_column') -%}
    {%- set state = load_result('touched_state')['response'] | string -%}
    {%- set old_values = [] -%}
    {%- set new_values = [] -%}
    {%- for name in names -%}
        {%- do old_values.append('old_rows.' ~ name) -%}
        {%- do new_values.append('new_rows.' ~ name) -%}
    {%- endfor -%}
    {%- if not keys -%}
        {{ exceptions.raise_compiler_error("incremental_strategy by_entity needs unique_key: the columns of the grain") }}
    {%- endif -%}
    {%- set old_rows -%}
        select
            ctid as old_row_id,
            {{ columns }}
        from {{ target }}
        {% if state == 'some' -%}
        where {{ entity_column }} in (select touched_entities.entity_id from touched_entities)
        {%- endif %}
    {%- endset -%}
    {%- if state == 'none' -%}
        select 'nothing was touched'
    {%- else -%}
        analyze {{ rows }} ({{ key }});

        create temporary table changed_rows on commit drop as
        select sides.*
        from (
            {{ old_rows }}
        ) as old_rows
        full join {{ rows }} as new_rows
            on {% for name in keys %}{{ 'and ' if not loop.first }}old_rows.{{ name }} = new_rows.{{ name }} {% endfor %}
        cross join lateral (
            select old_rows.old_row_id, {{ old_values | join(', ') }}
            where old_rows.{{ keys[0] }} is not null
            union all
            select null, {{ new_values | join(', ') }}
            where new_rows.{{ keys[0] }} is not null
        ) as sides
        where ({{ old_values | join(', ') }}) is distinct from ({{ new_values | join(', ') }});

        analyze changed_rows ({{ key }});

        {{ log_all_touches('changed_rows', keys, arg_dict['dest_columns'] | map(attribute='name') | list) }}
        {{ log_narrow_touches('changed_rows', (config.get('meta') or {}).get('narrow_touches', {})) }}

        delete from {{ target }}
        where ctid = any(array(select changed_rows.old_row_id from changed_rows where changed_rows.old_row_id is not null));

        insert into {{ target }} ({{ columns }})
        select {{ columns }}
        from {{ rows }}
        where ({{ key }}) in (select {{ key }} from changed_rows)
    {%- endif -%}
{%- endmacro %}
