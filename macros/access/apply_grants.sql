{#
    What dbt calls for each relation with `grants`. Its own grants whole tables; ours leaves out the
    columns that are tagged (column_grants), which dbt's comparison of grants can't see. Only our roles
    are looked at: what an administrator granted to others stays.
#}
{% macro postgres__apply_grants(relation, grant_config, should_revoke=True) %}
    {%- if not grant_config or grant_config.keys() | list == [] -%}{{ return(none) }}{%- endif -%}
    {%- if grant_config.keys() | list != ['select'] -%}
        {{ exceptions.raise_compiler_error('grants: only select is granted by models, not ' ~ grant_config.keys() | join(', ')) }}
    {%- endif -%}
    {%- set grants = column_grants(model, grant_config['select']) -%}
    {%- set wanted = [] -%}
    {%- for role, columns in grants.items() -%}
        {%- do wanted.append(role ~ ' ' ~ ('*' if columns is none else columns | sort | join(','))) -%}
    {%- endfor -%}
    {%- set found = current_grants(relation) if should_revoke else [] -%}
    {%- if found | sort != wanted | sort -%}
        {%- call statement('grants') -%}
            {%- for entry in found %}
            revoke all on {{ relation }} from {{ adapter.quote(entry.split(' ')[0]) }};
            {%- endfor %}
            {%- for role, columns in grants.items() %}
            {%- set quoted = [] -%}
            {%- for column in columns or [] -%}{%- do quoted.append(adapter.quote(column)) -%}{%- endfor %}
            grant select{{ '' if columns is none else ' (' ~ quoted | join(', ') ~ ')' }} on {{ relation }} to {{ adapter.quote(role) }};
            {%- endfor %}
        {%- endcall -%}
    {%- endif -%}
    {%- do limit_rows(relation, (config.get('meta') or {}).get('finance_rows'), should_revoke) -%}
{% endmacro %}
