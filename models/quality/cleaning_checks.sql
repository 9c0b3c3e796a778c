-- One row per kind of check and subject: how many rows there were, how many of them it is about, and their share.
--
-- A view, as cleaning_report is.
{{ config(materialized='view', meta={'tested': 'weekly'}) }}

{% set missing = {
    'stg_shop__users': ['email', 'phone', 'country', 'birth_date', 'signup_channel'],
    'stg_shop__products': ['title', 'brand', 'primary_category'],
    'stg_shop__product_variants': ['sku', 'price', 'cost'],
    'stg_shop__orders': ['placed_at', 'currency', 'ship_country', 'utm_source', 'session_id', 'updated_at'],
    'stg_shop__order_items': ['product_id', 'quantity', 'unit_price', 'unit_cost'],
    'stg_shop__refund_lines': ['quantity', 'amount', 'restock'],
    'stg_shop__reviews': ['user_id', 'rating', 'body'],
} %}
{% set duplicates = [
    ('orders written twice by a retry', 'int_orders_deduplicated', 'is_duplicate'),
    ('payments delivered twice by a webhook', 'int_payments_deduplicated', 'is_duplicate'),
    ('accounts and guest orders that are a person known already', 'bridge_customer_identity', 'not is_primary'),
] %}
{% set matches = {
    'fct_order_items': [
        ('order lines whose SKU the shop has', "product_key <> '-1'"),
        ('order lines of goods whose cost is known', "cost_source <> 'unknown'"),
    ],
    'fct_orders': [
        ('orders of a person who can be recognised', 'is_new_customer is not null or not is_countable'),
        ('orders with a known exchange rate', "fx_source <> 'missing'"),
        ('orders with a known place', "geography_key <> '-1'"),
    ],
    'fct_refund_lines': [('refunded lines that their order has', 'not is_line_unknown')],
    'fct_reviews': [('reviews of a product that the shop has', 'not is_product_unknown')],
    'fct_sessions': [
        ('sessions of a known person', "customer_key <> '-1'"),
        ('sessions that are no bot', 'not is_bot'),
    ],
} %}

with

collections as (

    select * from {{ ref('recon_collections') }}

),

casts as (

    select * from {{ ref('cleaning_report') }}

),

{% for relation, columns in missing.items() -%}
{{ relation }}_counts as (

    select
        count(*) as row_count,
        {%- for column in columns %}
        count({{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref(relation) }}

),

{% endfor -%}
{% for relation, checks in matches.items() -%}
{{ relation }}_matches as (

    select
        count(*) as row_count,
        {%- for subject, condition in checks %}
        count(case when {{ condition }} then 1 end) as matched_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref(relation) }}

),

{% endfor -%}
refund_entries as (

    select count(*) as row_count
    from {{ ref('stg_shop__refunds') }}

),

refunds as (

    select count(*) as row_count
    from {{ ref('fct_refunds') }}

),

checks as (

    -- what was read and what became of it
    select
        'rows' as check_kind,
        collection || ' in the marts' as subject,
        raw_count as row_count,
        mart_count as affected_rows
    from collections
    where mart_count is not null

    union all

    select
        'rows' as check_kind,
        collection || ' deleted in the shop and kept' as subject,
        raw_count as row_count,
        raw_deleted_count as affected_rows
    from collections

    union all

    select
        'rows' as check_kind,
        collection || ' in quarantine' as subject,
        raw_count + quarantined_count as row_count,
        quarantined_count as affected_rows
    from collections

    union all

    select
        'unreadable' as check_kind,
        staging_model as subject,
        sum(row_count) as row_count,
        sum(case when column_names is not null then row_count else 0 end) as affected_rows
    from casts
    group by staging_model

    {% for relation, columns in missing.items() -%}
    {% for column in columns -%}
    union all

    select
        'missing' as check_kind,
        '{{ relation }}.{{ column }}' as subject,
        row_count,
        row_count - {{ column }} as affected_rows
    from {{ relation }}_counts

    {% endfor -%}
    {% endfor -%}
    {% for subject, relation, condition in duplicates -%}
    union all

    select
        'duplicates' as check_kind,
        '{{ subject }}' as subject,
        count(*) as row_count,
        count(case when {{ condition }} then 1 end) as affected_rows
    from {{ ref(relation) }}

    {% endfor -%}
    union all

    select
        'duplicates' as check_kind,
        'refunds delivered twice by a webhook' as subject,
        refund_entries.row_count,
        refund_entries.row_count - refunds.row_count as affected_rows
    from refund_entries
    cross join refunds

    {% for relation, checks in matches.items() -%}
    {% for subject, condition in checks -%}
    union all

    select
        'matched' as check_kind,
        '{{ subject }}' as subject,
        row_count,
        matched_{{ loop.index }} as affected_rows
    from {{ relation }}_matches

    {% endfor -%}
    {% endfor %}
),

final as (

    select
        check_kind,
        subject,
        cast(row_count as {{ dbt.type_bigint() }}) as row_count,
        cast(affected_rows as {{ dbt.type_bigint() }}) as affected_rows,
        cast(
            case when row_count > 0 then cast(affected_rows as {{ dbt.type_numeric() }}) / row_count end
            as numeric(9, 6)
        ) as affected_share
    from checks

)

select * from final
