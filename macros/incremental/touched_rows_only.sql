{#
    A model's SQL narrowed to the touched entities. Takes the model's lock (a second build waits), notes
    the marks, gathers the touched entities in a temporary table and says in the statement result
    'touched_state' whether that is none, some or all of them.
#}
{% macro touched_rows_only(sql) -%}
    {%- set meta = config.get('meta') or {} -%}
    {%- set is_whole = not meta.get('entity_column') -%}
    {%- set untracked = parent_nodes(model)['untracked'] | length > 0 -%}
    {%- set entity = meta.get('entity', '') -%}
    {%- set expansions = [] -%}
    {%- for expansion in meta.get('touched_also', []) -%}
        {%- do expansions.append(render(expansion)) -%}
    {%- endfor -%}
    {#- of the touched keys those that the model asks for: most touches are of entities that it has no use of -#}
    {%- set asked = modules.re.findall("touched_keys[.]entity = '([a-z_]+)'", expansions | join(' ')) | unique | list -%}
    {%- call statement('touched', fetch_result=True) -%}
        lock table {{ this }} in share row exclusive mode;

        {{ mark_built(sql) }};

        {% if asked -%}
        create temporary table touched_keys on commit drop as
        {{ touches_to_take_over(['model', 'entity', 'entity_id'], asked) }};

        analyze touched_keys;

        {% endif -%}
        {% if not is_whole -%}
        create temporary table touched_entities on commit drop as
        select distinct cast(entities.entity_id as {{ entity_type(entity) }}) as entity_id
        from (
            {{ touches_to_take_over(['entity_id'], [entity]) }}
        ) as entities
        {%- for expansion in expansions %}
        union
        select cast(also.entity_id as {{ entity_type(entity) }}) as entity_id
        from (
            {{ expansion }}
        ) as also (entity_id)
        where also.entity_id is not null
        {%- endfor %};

        create unique index on touched_entities (entity_id);
        analyze touched_entities;

        {% endif -%}
        {% if 'is_touched_by_day:' in sql -%}
        create temporary table touched_days on commit drop as
        select cast(days.date_day as date) as date_day
        from touched_entities
        cross join lateral generate_series(
            touched_entities.entity_id, touched_entities.entity_id + interval '1 {{ entity }} -1 day', interval '1 day'
        ) as days (date_day);

        analyze touched_days;

        {% endif -%}
        select
            case
                when {{ 'true' if untracked else 'false' }} or (select bool_or(is_all) from touched_edges) then 'all'
                when not exists (
                    select 1 from {{ 'touched_edges where touch_id > built_touch_id' if is_whole else 'touched_entities' }}
                ) then 'none'
                else '{{ "all" if is_whole else "some" }}'
            end as state
    {%- endcall -%}
    {%- set state = load_result('touched')['data'][0][0] -%}
    {#- dbt hands out a result once; the strategy asks again -#}
    {%- do store_raw_result('touched_state', message=state) -%}
    {%- if state == 'some' -%}
        {%- set by_entity = modules.re.sub(
            '(?s)true /[*]is_touched:(.*?):[*]/',
            '\\1 in (select touched_entities.entity_id from touched_entities)',
            sql
        ) -%}
        {%- set by_day = modules.re.sub(
            '(?s)true /[*]is_touched_by_day:(.*?):[*]/',
            '\\1 in (select touched_days.date_day from touched_days)',
            by_entity
        ) -%}
        {{- return(modules.re.sub('(?s)in /[*]few:[*]/ [(](.*?)[)] /[*]:few[*]/', '= any(array(\\1))', by_day)) -}}
    {%- elif state == 'all' -%}
        {%- do run_query(hash_joins()) -%}
        {{- return(sql) -}}
    {%- endif -%}
    {#- no rows of the same columns, without planning the model: its SQL is what built the table -#}
    {{- return('select * from ' ~ this ~ ' as untouched limit 0') -}}
{%- endmacro %}
