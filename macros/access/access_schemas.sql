{% macro access_schemas() -%}
    {{- return({
        'ledgerline_reader': [
            'core', 'finance', 'customers', 'products', 'marketing', 'operations',
            'reporting', 'predictions', 'quality', 'semantic',
            'bi', 'production', 'warehouse', 'sales_analytics', 'staging',
        ],
        'ledgerline_finance': ['reference'],
        'ledgerline_pii': ['staging'],
        'ledgerline_ml': ['features'],
    }) -}}
{%- endmacro %}
