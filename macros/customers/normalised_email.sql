{% macro normalised_email(column) -%}
{%- set email = "lower(trim(" ~ column ~ "))" -%}
{%- set tagless = "split_part(split_part(" ~ email ~ ", '@', 1), '+', 1)" -%}
{%- set domain = "split_part(" ~ email ~ ", '@', 2)" -%}
case
        when {{ email }} not like '_%@_%._%' or {{ email }} like '% %' or {{ tagless }} = ''
            then null
        when {{ domain }} in ('gmail.com', 'googlemail.com')
            then replace({{ tagless }}, '.', '') || '@gmail.com'
        else {{ tagless }} || '@' || {{ domain }}
    end
{%- endmacro %}
