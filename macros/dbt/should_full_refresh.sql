{#- dbt's own, and for a table that has to be made anew since its model was changed (materialization incremental) -#}
{% macro should_full_refresh() %}
    {%- set configured = config.get('full_refresh') -%}
    {%- if configured is not none -%}
        {{- return(configured) -}}
    {%- endif -%}
    {{- return(flags.FULL_REFRESH or execute and graph.nodes.get(model.unique_id, {}).get('ledgerline_made_anew_by') == invocation_id) -}}
{% endmacro %}
