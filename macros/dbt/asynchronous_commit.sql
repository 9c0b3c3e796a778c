{#
    A model's transaction ends without waiting for the disk. What a crash of the server takes with it is the newest
    transactions, whole and with their marks: the next build makes them again.
#}
{% macro asynchronous_commit() -%}
    {{- 'set local synchronous_commit = off' if target.type == 'postgres' else '' -}}
{%- endmacro %}
