{#
    Logs what the changed rows touch. Columns that few models read are set apart: a row in which nothing else changed
    touches an entity of their own alone, which who reads one of them takes over as well.
    meta.set_apart: {entity: {'key': column, 'columns': [those that few read]}}.
#}
{% macro log_all_touches(changes, keys, columns) -%}
    {%- set pairs = touched_columns(config) -%}
    {%- set apart = (config.get('meta') or {}).get('set_apart', {}) -%}
    {%- set key = keys | join(', ') -%}
    {%- set common = columns | reject('in', apart.values() | map(attribute='columns') | sum(start=[])) | list -%}
    {%- if apart and pairs -%}
        {%- set changed_beyond -%}
            (
                select *
                from {{ changes }}
                where ({{ key }}) in (
                    select {{ key }}
                    from {{ changes }}
                    group by {{ key }}
                    -- the old row and the new one
                    having count(*) <> 2 or count(distinct ({{ common | join(', ') }}, 1)) > 1
                )
            )
        {%- endset -%}
        {{ log_touches(changed_beyond, pairs) }};
        {% for entity, read in apart.items() %}
        {{ log_touches(changes, [[entity, read['key']]]) }};
        {% endfor %}
    {%- elif pairs -%}
        {{ log_touches(changes, pairs) }};
    {%- endif -%}
{%- endmacro %}
