-- One row per order document: which order of its customer it is.
--
-- Excluded orders take no place in a customer's sequence; refunded ones do: the customer did order.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['order_id'],
    meta={
        'entity': 'customer', 'entity_column': 'customer_key',
        'touches': {'order': 'order_id'},
    },
    indexes=[{'columns': ['customer_key']}],
) }}

with

orders as (

    select
        order_id,
        customer_key,
        is_countable,
        ordered_at
    from {{ ref('int_orders_classified') }}
    where {{ is_touched('customer_key') }}

),

people as (

    select
        customer_key,
        min(person_type) as person_type
    from {{ ref('int_customers_resolved') }}
    where {{ is_touched('customer_key') }}
    group by customer_key

),

sequenced as (

    select
        orders.order_id,
        orders.customer_key,
        coalesce(people.person_type, 'unknown') as person_type,
        case
            when orders.is_countable
                then row_number() over (
                    partition by orders.customer_key, orders.is_countable
                    order by orders.ordered_at asc nulls last, orders.order_id asc
                )
        end as order_seq
    from orders
    left join people
        on orders.customer_key = people.customer_key

),

final as (

    select
        order_id,
        customer_key,
        order_seq,
        -- nobody can tell whether an anonymous buyer was here before
        case when person_type <> 'anonymous' and order_seq is not null then order_seq = 1 end as is_new_customer
    from sequenced

)

select * from final
