{% macro limit_rows(relation, finance_rows, may_have_policies) -%}
    {%- if not finance_rows -%}{{ return(none) }}{%- endif -%}
    {#- the condition is in the name, so that a changed one replaces the last -#}
    {%- set name = 'finance_rows_' ~ local_md5(finance_rows)[:8] -%}
    {%- if may_have_policies -%}
        {%- set policies = run_query(
            "select polname from pg_catalog.pg_policy where polrelid = to_regclass('" ~ relation ~ "')"
        ).columns[0].values() | list -%}
    {%- else -%}
        {%- set policies = [] -%}
    {%- endif -%}
    {%- if name not in policies -%}
        {%- call statement('limit_rows') -%}
            {%- for policy in policies %}
            drop policy {{ adapter.quote(policy) }} on {{ relation }};
            {%- endfor %}
            alter table {{ relation }} enable row level security;
            create policy {{ name }} on {{ relation }} for select to ledgerline_reader
                using (not ({{ finance_rows }}));
            create policy all_{{ name }} on {{ relation }} for select to ledgerline_finance
                using (true);
        {%- endcall -%}
    {%- endif -%}
{%- endmacro %}
