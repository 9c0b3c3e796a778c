{#
    The moment at which a row that is gone ends in a snapshot. dbt's own has no zone, while the other
    moments of our snapshots have one.
#}
{% macro postgres__snapshot_get_time() -%}
    {{ current_timestamp() }}
{%- endmacro %}
