{% macro mark_documents() -%}
    delete from {{ touch_log('built') }}
    where model = '{{ model.name }}';

    insert into {{ touch_log('built') }} (model, parent, touch_id, checksum)
    {%- for unique_id in model.depends_on.nodes %}
    {%- set documents = graph.sources[unique_id] %}
    select
        '{{ model.name }}',
        '{{ documents.name }}',
        0,
        max(documents._loaded_at)
    from {{ documents.relation_name }} as documents
    {%- endfor %}
{%- endmacro %}
