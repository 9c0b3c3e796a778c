{#
    The newest document that a staging model's table held when it was last read: more than the newest row in it where
    the newest documents have no element of the array. Null where the table is empty.
#}
{% macro documents_watermark() -%}
    select greatest(max(cast(built.checksum as timestamp with time zone)), (select max(rows._loaded_at) from {{ this }} as rows))
    from {{ touch_log('built') }} as built
    where
        built.model = '{{ model.name }}'
        and built.parent <> '{{ model.name }}'
        and exists (select 1 from {{ this }})
{%- endmacro %}
