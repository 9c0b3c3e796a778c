{#
    Whether a test that can only read everything does so in this build: {'is_due', 'note': what mark_tested
    reads when the test has passed}. Whatever its node or the node it stands at calls `meta: {tested: weekly}` is
    read once a week, when the node was changed, in builds from nothing and in `dbt test`.
#}
{% macro test_is_due() -%}
    {%- set due = {'is_due': true, 'note': ''} -%}
    {%- set tested = graph.nodes.get(model.attached_node) or model if execute else none -%}
    {%- if tested and flags.WHICH in ('build', 'test') and model.resource_type == 'test' -%}
        {%- if is_tested_weekly(model) -%}
            {%- set name = tested.name ~ '@' ~ tested.checksum.checksum -%}
            {%- do due.update({'note': '/*tested:' ~ name ~ ':0:all*/'}) -%}
            {%- if flags.WHICH == 'build' and not flags.FULL_REFRESH and var('test_scope', 'touched') != 'all' -%}
                {%- set mark = test_marks()['marks'].get(model.unique_id ~ ' ' ~ name) -%}
                {%- do due.update({'is_due': not (mark and mark['is_fresh'])}) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
    {{- return(due) -}}
{%- endmacro %}
