{#- Whether a model's SQL, or its contract, now gives other columns or types than its table has -#}
{% macro has_other_columns(existing, sql) -%}
    {%- set probe = make_temp_relation(existing, '__dbt_probe') -%}
    {%- call statement('probe') -%}
        {%- if config.get('contract').enforced %}
        create temporary table {{ probe }} ({{ contract_columns() }})
        {%- else %}
        create temporary table {{ probe }} as
        select *
        from (
            {{ sql }}
        ) as probed
        limit 0
        {%- endif %}
    {%- endcall -%}
    {%- set is_other = check_for_schema_changes(probe, existing)['schema_changed'] -%}
    {%- do drop_relation(probe) -%}
    {{- return(is_other) -}}
{%- endmacro %}
