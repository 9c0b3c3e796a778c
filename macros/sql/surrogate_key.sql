{% macro surrogate_key(columns) -%}
    {#- chr(31) ends a part, chr(30) is a null: neither is found in a key, so no two rows collide -#}
    {%- set parts = [] -%}
    {%- for column in columns -%}
        {%- do parts.append('coalesce(cast(' ~ column ~ ' as ' ~ dbt.type_string() ~ '), chr(30))') -%}
        {%- if not loop.last -%}{%- do parts.append('chr(31)') -%}{%- endif -%}
    {%- endfor -%}
    {{- dbt.hash(dbt.concat(parts)) -}}
{%- endmacro %}
