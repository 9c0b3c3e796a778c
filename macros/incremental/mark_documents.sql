{% macro mark_documents(sql) -%}
    delete from {{ touch_log('built') }}
    where model = '{{ model.name }}';

    insert into {{ touch_log('built') }} (model, parent, touch_id, checksum)
    {%- for unique_id in model.depends_on.nodes %}
    {%- set documents = graph.sources[unique_id] %}
    select
        '{{ model.name }}',
        '{{ documents.source_name }}.{{ documents.name }}',
        0,
        cast(max(documents._loaded_at) as text)
    from {{ documents.relation_name }} as documents
    union all
    {%- endfor %}
    select
        '{{ model.name }}',
        '{{ model.name }}',
        0,
        '{{ model_checksum(sql) }}'
{%- endmacro %}
