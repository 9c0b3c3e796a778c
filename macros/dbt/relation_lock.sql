{#- Takes the lock of a relation that is replaced, until the transaction ends; its name as an SQL expression -#}
{% macro relation_lock(name) -%}
    pg_advisory_xact_lock(hashtextextended({{ name }}, 0))
{%- endmacro %}
