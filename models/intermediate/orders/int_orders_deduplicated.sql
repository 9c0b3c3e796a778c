-- One row per order document; tells the documents of one order number apart that a retry wrote twice.
--
-- The document that counts is the first that is not deleted; others of the same store and number that
-- were placed within `duplicate_order_minutes` of it are its duplicates. The same number months apart
-- is another order (numbers get reused) and stays.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'order', 'entity_column': 'order_id',
        'touched_also': [
            "select order_id from {{ ref('stg_shop__orders') }} where order_no in {{ touched('order_no') }}",
        ],
    },
) }}

with

orders as (

    select
        order_id,
        order_no,
        store_id,
        is_deleted,
        coalesce(placed_at, created_at) as ordered_at
    from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

ranked as (

    select
        order_id,
        order_no,
        ordered_at,
        row_number() over (
            partition by store_id, order_no
            order by
                case when is_deleted then 1 else 0 end asc,
                ordered_at asc nulls last,
                order_id asc
        ) as document_rank,
        first_value(order_id) over (
            partition by store_id, order_no
            order by
                case when is_deleted then 1 else 0 end asc,
                ordered_at asc nulls last,
                order_id asc
        ) as first_order_id,
        first_value(ordered_at) over (
            partition by store_id, order_no
            order by
                case when is_deleted then 1 else 0 end asc,
                ordered_at asc nulls last,
                order_id asc
        ) as first_ordered_at
    from orders

),

compared as (

    select
        order_id,
        first_order_id,
        coalesce(
            order_no is not null
            and document_rank > 1
            and ordered_at <= {{ dbt.dateadd('minute', var('duplicate_order_minutes', 60), 'first_ordered_at') }}
            and ordered_at >= {{ dbt.dateadd('minute', -var('duplicate_order_minutes', 60), 'first_ordered_at') }},
            false
        ) as is_duplicate
    from ranked

),

final as (

    select
        order_id,
        case when is_duplicate then first_order_id end as duplicate_of_order_id,
        is_duplicate
    from compared

)

select * from final
