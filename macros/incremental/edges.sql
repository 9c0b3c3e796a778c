{#
    What a model has to compare with its marks, as rows (parent, checksum): itself, its seeds and the views that it reads
    with the checksum of what they are; the models that log what they change with none.
#}
{% macro edges(sql) -%}
    {%- set parents = parent_nodes(model) -%}
    {%- set checksums = dict(parents['seeds'], **parents['views']) -%}
    {%- do checksums.update({model.name: model_checksum(sql)}) -%}
    {%- for name in parents['tracked'] -%}
        {%- do checksums.update({name: none}) -%}
    {%- endfor -%}
    values
    {%- for parent, checksum in checksums.items() %}
    ('{{ parent }}', {{ "cast(null as text)" if checksum is none else "'" ~ checksum ~ "'" }}){{ ',' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
