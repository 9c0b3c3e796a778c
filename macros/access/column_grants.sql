{% macro column_grants(node, grantees) -%}
    {#- tags of the node's columns decide: no list of columns beside them that could be forgotten -#}
    {%- set keepers = {'finance': 'ledgerline_finance', 'pii': 'ledgerline_pii'} -%}
    {%- set node_meta = (node.config or {}).get('meta') or {} -%}
    {%- set open = [] -%}
    {%- set kept = {'finance': [], 'pii': []} -%}
    {%- for name, column in (node.columns or {}).items() -%}
        {%- set meta = (column.config or {}).get('meta') or column.meta or {} -%}
        {%- if meta.get('pii') -%}{%- do kept['pii'].append(name) -%}
        {%- elif meta.get('finance') -%}{%- do kept['finance'].append(name) -%}
        {%- else -%}{%- do open.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set grants = {} -%}
    {%- if node_meta.get('pii') -%}
        {%- do grants.update({keepers['pii']: none}) -%}
    {%- elif node_meta.get('finance') -%}
        {%- do grants.update({keepers['finance']: none}) -%}
    {%- else -%}
        {%- set is_whole = not (kept['finance'] or kept['pii']) -%}
        {%- for role in grantees -%}
            {%- do grants.update({role: none if is_whole or role in (keepers['pii'], 'ledgerline_ml') else open}) -%}
        {%- endfor -%}
        {%- if 'ledgerline_reader' in grantees -%}
            {%- for tag, role in keepers.items() if kept[tag] -%}
                {%- do grants.update({role: kept[tag]}) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endif -%}
    {{- return(grants) -}}
{%- endmacro %}
