{#
    The form of an e-mail address under which two spellings are one mailbox; null when it is no address.

    Lower case and trimmed; what follows a plus sign in the local part is dropped (a tag, everywhere
    in use); dots in the local part are dropped for Gmail alone, the one provider that documents that
    it ignores them; googlemail.com is gmail.com.

    Arguments:
        column: a text expression.
#}
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
