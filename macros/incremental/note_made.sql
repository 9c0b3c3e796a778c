{#- Notes what a view or seed was made of, for stands_as_made; in the transaction that makes it -#}
{% macro note_made(checksum) -%}
    {%- do run_query(
        "insert into " ~ touch_log('built') ~ " (model, parent, touch_id, checksum) values ('" ~ model.name ~ "', '"
        ~ model.name ~ "', 0, '" ~ checksum ~ "') on conflict (model, parent) do update set checksum = excluded.checksum"
    ) -%}
{%- endmacro %}
