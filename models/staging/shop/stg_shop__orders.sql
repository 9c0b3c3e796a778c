-- One row per order document.
{{ config(
    unique_key='order_id',
    meta={
        'touches': {'user': 'user_id', 'order_no': 'order_no'},
        'set_apart': {
            'order_progress': {'key': 'order_id', 'columns': ['status', 'shipped_at', 'delivered_at', 'tracking', 'updated_at']},
        },
    },
    indexes=[
        {'columns': ['order_id'], 'unique': true},
        {'columns': ['user_id']},
        {'columns': ['order_no']},
        {'columns': ['placed_at']},
        {'columns': ['device']},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('order_no', 'text', 'order_no'),
    ('kind', 'code', 'kind'),
    ('user_id', 'id', 'user_id'),
    ('guest_email', 'text', 'guest.email'),
    ('guest_phone', 'text', 'guest.phone'),
    ('session_id', 'id', 'session_id'),
    ('store_id', 'text', 'store_id'),
    ('channel', 'code', 'channel'),
    ('device', 'code', 'device'),
    ('status', 'code', 'status'),
    ('currency', 'text', 'currency'),
    ('shipping_method', 'text', 'shipping.method'),
    ('carrier', 'text', 'shipping.carrier'),
    ('tracking', 'text', 'shipping.tracking'),
    ('ship_city', 'text', ['shipping.address.city', 'shipping_address.city']),
    ('ship_region', 'text', ['shipping.address.region', 'shipping_address.region']),
    ('ship_postal_code', 'text', ['shipping.address.postal', 'shipping_address.postal']),
    ('ship_country', 'text', ['shipping.address.country', 'shipping_address.country']),
    ('cancel_reason', 'text', 'cancel.reason'),
    ('utm_source', 'text', 'utm.source'),
    ('utm_medium', 'text', 'utm.medium'),
    ('utm_campaign', 'text', 'utm.campaign'),
    ('utm_term', 'text', 'utm.term'),
    ('utm_content', 'text', 'utm.content'),
    ('fx_rate', 'number', 'fx_rate'),
    ('tax_total', 'number', 'tax.total'),
    ('shipping_price', 'number', 'shipping.price'),
    ('shipping_cost', 'number', 'shipping.cost'),
    ('totals_gross', 'number', 'totals.gross'),
    ('totals_discount', 'number', 'totals.discount'),
    ('totals_shipping', 'number', 'totals.shipping'),
    ('totals_tax', 'number', 'totals.tax'),
    ('totals_grand', 'number', 'totals.grand'),
    ('fraud_score', 'number', 'fraud.score'),
    ('is_tax_included', 'boolean', 'tax.included'),
    ('is_fraud', 'boolean', 'fraud.flag'),
    ('is_test', 'boolean', 'is_test'),
    ('placed_at', 'timestamp', 'placed_at'),
    ('promised_at', 'timestamp', 'shipping.promised_at'),
    ('shipped_at', 'timestamp', 'shipping.shipped_at'),
    ('delivered_at', 'timestamp', 'shipping.delivered_at'),
    ('cancelled_at', 'timestamp', 'cancel.at'),
    ('created_at', 'timestamp', 'created_at'),
    ('updated_at', 'timestamp', 'updated_at'),
    ('schema_version', 'integer', 'schema_version'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'orders')) }}

),

counted as (

    select
        document_id,
        doc,
        {{ json_array_length('doc', 'items') }} as item_count,
        is_deleted,
        _loaded_at
    from documents

),

typed as (

    {{ json_to_columns('counted', 'doc', columns, ['document_id', 'item_count', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as order_id,
        order_no,
        coalesce(kind, 'sale') as kind,
        user_id,
        guest_email,
        guest_phone,
        session_id,
        store_id,
        channel,
        device,
        replace(status, 'canceled', 'cancelled') as status,
        currency,
        shipping_method,
        carrier,
        tracking,
        ship_city,
        ship_region,
        ship_postal_code,
        ship_country,
        cancel_reason,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
        item_count,
        fx_rate,
        tax_total,
        shipping_price,
        shipping_cost,
        totals_gross,
        totals_discount,
        totals_shipping,
        totals_tax,
        totals_grand,
        fraud_score,
        is_tax_included,
        is_fraud,
        is_test,
        placed_at,
        promised_at,
        shipped_at,
        delivered_at,
        cancelled_at,
        created_at,
        updated_at,
        schema_version,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
