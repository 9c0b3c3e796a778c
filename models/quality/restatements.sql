-- One row per store, closed day, measure and build that found another value than the build before.
--
-- Rows are added and never changed, also by --full-refresh: what was known when can't be computed again.
-- The causes are the documents behind the day that were loaded between the two builds.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
    )
}}
{% set measures = [
    'orders', 'gross_sales_amount', 'discount_amount', 'returns_amount', 'net_sales_amount', 'shipping_amount',
    'tax_amount', 'total_sales_amount', 'cogs_amount', 'marketing_spend_amount',
] %}

with

versions as (

    select * from {{ ref('daily_metrics_history') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

refunds as (

    select * from {{ ref('fct_refunds') }}

),

documents as (

    select
        order_id,
        is_deleted,
        _loaded_at
    from {{ ref('stg_shop__orders') }}

),

builds as (

    select
        dbt_valid_from as built_at,
        lag(dbt_valid_from) over (order by dbt_valid_from asc) as previous_built_at
    from versions
    group by dbt_valid_from

),

compared as (

    select
        store_id,
        metric_date,
        dbt_valid_from as restated_at,
        {% for measure in measures -%}
        {{ measure }} as new_{{ measure }},
        lag({{ measure }}) over (partition by day_key order by dbt_valid_from asc) as old_{{ measure }},
        {% endfor -%}
        lag(dbt_valid_from) over (partition by day_key order by dbt_valid_from asc) as stood_from
    from versions

    union all

    -- a day that is not in the roll-up any more
    select
        gone.store_id,
        gone.metric_date,
        gone.dbt_valid_to as restated_at,
        {% for measure in measures -%}
        0 as new_{{ measure }},
        gone.{{ measure }} as old_{{ measure }},
        {% endfor -%}
        gone.dbt_valid_from as stood_from
    from versions as gone
    left join versions as later
        on
            gone.day_key = later.day_key
            and gone.dbt_valid_from < later.dbt_valid_from
    where
        gone.dbt_valid_to is not null
        and later.day_key is null

),

restated as (

    select
        compared.*,
        coalesce(
            (select max(builds.built_at) from builds where builds.built_at < compared.restated_at),
            compared.stood_from
        ) as loaded_after
    from compared
    where
        compared.stood_from is not null
        {% if is_incremental() -%}
        and compared.restated_at > coalesce(
            (select max(known.restated_at) from {{ this }} as known),
            cast('1970-01-01' as {{ dbt.type_timestamp() }})
        )
        {%- endif %}

),

order_causes as (

    select
        restated.store_id,
        restated.metric_date,
        restated.restated_at,
        count(case when not documents.is_deleted then 1 end) as late_orders,
        count(case when documents.is_deleted then 1 end) as deleted_orders
    from restated
    inner join orders
        on
            restated.store_id = orders.store_id
            and restated.metric_date = orders.order_date
    inner join documents
        on
            orders.order_id = documents.order_id
            and documents._loaded_at > restated.loaded_after
            and documents._loaded_at <= restated.restated_at
    group by restated.store_id, restated.metric_date, restated.restated_at

),

refund_causes as (

    select
        restated.store_id,
        restated.metric_date,
        restated.restated_at,
        count(*) as late_refunds
    from restated
    inner join refunds
        on
            restated.store_id = refunds.store_id
            and restated.metric_date = refunds.refund_date
    inner join documents
        on
            refunds.order_id = documents.order_id
            and documents._loaded_at > restated.loaded_after
            and documents._loaded_at <= restated.restated_at
    group by restated.store_id, restated.metric_date, restated.restated_at

),

measured as (

    {% for measure in measures -%}
    select
        store_id,
        metric_date,
        '{{ measure }}' as measure,
        cast(old_{{ measure }} as {{ type_money() }}) as old_value,
        cast(new_{{ measure }} as {{ type_money() }}) as new_value,
        restated_at
    from restated
    where old_{{ measure }} is distinct from new_{{ measure }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

final as (

    select
        measured.store_id,
        measured.measure,
        case
            when coalesce(order_causes.deleted_orders, 0) > 0 and coalesce(order_causes.late_orders, 0) = 0
                and coalesce(refund_causes.late_refunds, 0) = 0
                then 'deletions'
            when coalesce(order_causes.late_orders, 0) > 0 and coalesce(order_causes.deleted_orders, 0) = 0
                and coalesce(refund_causes.late_refunds, 0) = 0
                then 'late_orders'
            when coalesce(refund_causes.late_refunds, 0) > 0 and coalesce(order_causes.late_orders, 0) = 0
                and coalesce(order_causes.deleted_orders, 0) = 0
                then 'late_refunds'
            when coalesce(order_causes.late_orders, 0) + coalesce(order_causes.deleted_orders, 0)
                + coalesce(refund_causes.late_refunds, 0) > 0
                then 'several'
            else 'no_document_of_the_day'
        end as reason,
        measured.old_value,
        measured.new_value,
        cast(coalesce(measured.new_value, 0) - coalesce(measured.old_value, 0) as {{ type_money() }}) as change_value,
        cast(coalesce(order_causes.late_orders, 0) as {{ dbt.type_int() }}) as late_orders,
        cast(coalesce(refund_causes.late_refunds, 0) as {{ dbt.type_int() }}) as late_refunds,
        cast(coalesce(order_causes.deleted_orders, 0) as {{ dbt.type_int() }}) as deleted_orders,
        measured.metric_date,
        measured.restated_at
    from measured
    left join order_causes
        on
            measured.store_id = order_causes.store_id
            and measured.metric_date = order_causes.metric_date
            and measured.restated_at = order_causes.restated_at
    left join refund_causes
        on
            measured.store_id = refund_causes.store_id
            and measured.metric_date = refund_causes.metric_date
            and measured.restated_at = refund_causes.restated_at

)

select * from final
