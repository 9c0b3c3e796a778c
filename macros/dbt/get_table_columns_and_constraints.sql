{#
    dbt's own, without primary keys: enforce_constraints adds them when the table is filled. An index that grows
    row by row, in no order, took longer than the rows themselves.
#}
{% macro postgres__get_table_columns_and_constraints() -%}
    {%- set columns = {} -%}
    {%- for name, column in model.columns.items() -%}
        {%- set kept = [] -%}
        {%- for constraint in column.constraints or [] if constraint.type | string != 'primary_key' -%}
            {%- do kept.append(constraint) -%}
        {%- endfor -%}
        {%- do columns.update({name: dict(column, constraints=kept)}) -%}
    {%- endfor -%}
    {%- set parts = adapter.render_raw_columns_constraints(raw_columns=columns)
        + adapter.render_raw_model_constraints(raw_constraints=model.constraints) -%}
    ({{ parts | join(', ') }})
{%- endmacro %}
