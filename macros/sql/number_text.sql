{% macro number_text(expression, decimals=0, is_signed=false) -%}
{%- set number = 'cast(round(abs(' ~ expression ~ '), ' ~ decimals ~ ') as numeric(20, ' ~ decimals ~ '))' -%}
{%- if is_signed -%}
case when {{ expression }} < 0 then '-' else '+' end || cast({{ number }} as {{ dbt.type_string() }})
{%- else -%}
case when {{ expression }} < 0 then '-' else '' end || cast({{ number }} as {{ dbt.type_string() }})
{%- endif -%}
{%- endmacro %}
