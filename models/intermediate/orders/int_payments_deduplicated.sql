-- One row per payment entry of an order; a webhook delivered twice is marked, its first entry counts.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['payment_key'],
    meta={'entity': 'order', 'entity_column': 'order_id'},
    indexes=[{'columns': ['order_id']}, {'columns': ['method']}],
) }}

with

payments as (

    select * from {{ ref('stg_shop__payments') }}
    where {{ is_touched('order_id') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by order_id, payment_id
            order by
                case when status in ({{ captured_payment_statuses() }}) then 0 else 1 end asc,
                paid_at asc nulls last,
                position asc
        ) as entry_rank
    from payments

),

final as (

    select
        {{ surrogate_key(['order_id', 'position']) }} as payment_key,
        order_id,
        payment_id,
        position as payment_position,
        lower(trim(method)) as method,
        provider,
        status,
        error,
        amount,
        fee,
        -- an entry without an id cannot be told to be a copy
        payment_id is not null and entry_rank > 1 as is_duplicate,
        coalesce(status in ({{ captured_payment_statuses() }}), false) as is_captured,
        paid_at
    from ranked

)

select * from final
