-- One row per collection of the source: its documents counted at each step of the way.
{% set steps = [
    ('users', 'stg_shop__users', 'user_id', 'bridge_customer_identity', 'source_id', "identity_type = 'account'"),
    ('products', 'stg_shop__products', 'product_id', 'int_product_skus', 'product_id', none),
    ('orders', 'stg_shop__orders', 'order_id', 'fct_orders', 'order_id', none),
    ('reviews', 'stg_shop__reviews', 'review_id', 'fct_reviews', 'review_id', none),
    ('campaigns', 'stg_shop__campaigns', 'campaign_id', 'dim_campaigns', 'campaign_id', none),
    ('campaign_events', 'stg_shop__campaign_events', 'event_id', none, none, none),
    ('campaign_daily', 'stg_shop__campaign_days', 'campaign_day_id', none, none, none),
    ('sessions', 'stg_shop__sessions', 'session_id', none, none, none),
    ('inventory_movements', 'stg_shop__inventory_movements', 'movement_id', none, none, none),
    ('support_tickets', 'stg_shop__support_tickets', 'ticket_id', none, none, none),
    ('exchange_rates', 'stg_shop__exchange_rates', 'exchange_rate_id', none, none, none),
] %}

with

load_runs as (

    select * from {{ source('ops', 'load_runs') }}

),

quarantine as (

    select * from {{ source('ops', 'quarantine') }}

),

-- the last batch that counted the source
last_runs as (

    select
        collection,
        source_count,
        finished_at,
        row_number() over (
            partition by collection
            order by finished_at desc nulls last, batch_id desc nulls last
        ) as run_rank
    from load_runs
    where
        source_count is not null
        and error is null

),

quarantined as (

    select
        collection,
        count(*) as quarantined_count
    from quarantine
    group by collection

),

counted as (

    {% for collection, staging, staging_id, mart, mart_id, condition in steps -%}
    select
        '{{ collection }}' as collection,
        raw_documents.raw_count,
        raw_documents.raw_live_count,
        (select count(*) from {{ ref(staging) }}) as staging_count,
        {% if mart -%}
        (
            select count(*)
            from {{ ref(staging) }} as documents
            where exists (
                select 1
                from {{ ref(mart) }} as facts
                where
                    facts.{{ mart_id }} = documents.{{ staging_id }}
                    {% if condition %}and facts.{{ condition }}{% endif %}
            )
        ) as mart_count
        {%- else -%}
        cast(null as {{ dbt.type_bigint() }}) as mart_count
        {%- endif %}
    from (
        -- read once: these are the largest tables
        select
            count(*) as raw_count,
            count(*) - count(_deleted_at) as raw_live_count
        from {{ source('shop', collection) }}
    ) as raw_documents
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

final as (

    select
        counted.collection,
        last_runs.source_count,
        coalesce(quarantined.quarantined_count, 0) as quarantined_count,
        counted.raw_live_count,
        counted.raw_count - counted.raw_live_count as raw_deleted_count,
        counted.raw_count,
        counted.staging_count,
        counted.mart_count,
        -- a quarantined document may have an older version in raw, so the sum may be larger, never smaller
        coalesce(
            last_runs.source_count between counted.raw_live_count
            and counted.raw_live_count + coalesce(quarantined.quarantined_count, 0),
            counted.raw_count = 0
        )
        and counted.raw_count = counted.staging_count
        and counted.staging_count = coalesce(counted.mart_count, counted.staging_count) as is_reconciled,
        last_runs.finished_at as source_counted_at
    from counted
    left join last_runs
        on
            counted.collection = last_runs.collection
            and last_runs.run_rank = 1
    left join quarantined
        on counted.collection = quarantined.collection

)

select * from final
