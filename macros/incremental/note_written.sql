{#
    Notes that this run has written to a model, all of it being committed: what was asked of its touches earlier no longer
    holds. In `graph`, as test_marks; in the model's own node, so that no thread takes away another's note.
#}
{% macro note_written() -%}
    {%- do graph.nodes[model.unique_id].update({'ledgerline_written_by': invocation_id}) -%}
{%- endmacro %}
