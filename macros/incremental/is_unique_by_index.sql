{% macro is_unique_by_index(relation, columns, with_nulls) -%}
    {{- return(adapter.dispatch('is_unique_by_index', 'ledgerline')(relation, columns, with_nulls)) -}}
{%- endmacro %}

{#- asked of the catalogue, not of what YAML promises: an index that is missing or invalid proves nothing -#}
{% macro postgres__is_unique_by_index(relation, columns, with_nulls) -%}
    {%- set found = run_query(
        "select 1 from pg_catalog.pg_index as keys"
        ~ " where keys.indrelid = to_regclass('" ~ relation ~ "')"
        ~ " and keys.indisunique and keys.indisvalid and keys.indpred is null and keys.indexprs is null"
        ~ " and not exists ("
        ~ "select 1 from pg_catalog.pg_attribute as attributes"
        ~ " where attributes.attrelid = keys.indrelid"
        ~ " and attributes.attnum = any(keys.indkey[0:keys.indnkeyatts - 1])"
        ~ " and (attributes.attname not in ('" ~ columns | join("', '") ~ "')"
        ~ (" or not attributes.attnotnull" if with_nulls else "") ~ "))"
    ) -%}
    {{- return(found | length > 0) -}}
{%- endmacro %}

{% macro default__is_unique_by_index(relation, columns, with_nulls) -%}
    {{- return(false) -}}
{%- endmacro %}
