{#
    dbt's own, without what enforce_constraints adds when the table is filled: primary keys, since an index that
    grows row by row, in no order, took longer than the rows themselves; and not null where it holds personal data.
#}
{% macro postgres__get_table_columns_and_constraints() -%}
    {%- set columns = {} -%}
    {%- set later = ['primary_key', 'not_null'] if holds_personal_data(model) else ['primary_key'] -%}
    {%- for name, column in model.columns.items() -%}
        {%- set kept = [] -%}
        {%- for constraint in column.constraints or [] if constraint.type | string not in later -%}
            {%- do kept.append(constraint) -%}
        {%- endfor -%}
        {%- do columns.update({name: dict(column, constraints=kept)}) -%}
    {%- endfor -%}
    {%- set parts = adapter.render_raw_columns_constraints(raw_columns=columns)
        + adapter.render_raw_model_constraints(raw_constraints=model.constraints) -%}
    ({{ parts | join(', ') }})
{%- endmacro %}
