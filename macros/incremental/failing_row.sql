{#
    The condition of a row that breaks what a test asks of each row by itself; none for other tests. The generic
    tests are made of it, and is_read_with_others asks many of them at once.
#}
{% macro failing_row(test_name, arguments) -%}
    {%- set column = arguments.get('column_name') or '' -%}
    {%- if test_name == 'not_null' -%}
        {{- return(column ~ ' is null') -}}
    {%- elif test_name == 'not_null_where' -%}
        {{- return(column ~ ' is null and (' ~ arguments['condition'] ~ ')') -}}
    {%- elif test_name == 'expression_is_true' -%}
        {#- null is not true: an identity over columns that may be null has to say so itself -#}
        {{- return('not coalesce(' ~ column ~ ' ' ~ arguments['expression'] ~ ', false)') -}}
    {%- elif test_name == 'accepted_values' -%}
        {%- set quote = "'" if arguments.get('quote', true) else '' -%}
        {{- return(column ~ ' not in (' ~ quote ~ arguments['values'] | join(quote ~ ', ' ~ quote) ~ quote ~ ')') -}}
    {%- elif test_name == 'accepted_range' -%}
        {#- nulls pass: not_null says more clearly what is missing -#}
        {%- set equal = '' if arguments.get('inclusive', true) else '=' -%}
        {%- set beyond = [] -%}
        {%- if arguments.get('min_value') is not none -%}
            {%- do beyond.append(column ~ ' <' ~ equal ~ ' ' ~ arguments['min_value']) -%}
        {%- endif -%}
        {%- if arguments.get('max_value') is not none -%}
            {%- do beyond.append(column ~ ' >' ~ equal ~ ' ' ~ arguments['max_value']) -%}
        {%- endif -%}
        {{- return(beyond | join(' or ')) -}}
    {%- endif -%}
    {{- return(none) -}}
{%- endmacro %}
