-- One row per review.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['review_id'],
    meta={
        'entity': 'review', 'entity_column': 'review_id',
        'touches': {'customer': 'customer_key', 'product': ['product_key', 'product_id'], 'day': 'review_date'},
        'touched_also': [
            "select review_id from {{ ref('stg_shop__reviews') }} where product_id in {{ touched('product', 'int_skus_owned') }}",
            "select review_id from {{ ref('stg_shop__reviews') }} where user_id in {{ touched('source') }}",
            "select review_id from {{ ref('stg_shop__reviews') }} where order_id in {{ touched('order') }}",
        ],
    },
    indexes=[
        {'columns': ['product_key']},
        {'columns': ['customer_key']},
    ],
) }}

with

reviews as (

    select * from {{ ref('stg_shop__reviews') }}
    where {{ is_touched('review_id') }}

),

skus as (

    select * from {{ ref('int_skus_owned') }}

),

products as (

    select
        product_id,
        product_key,
        row_number() over (
            partition by product_id
            order by sku asc
        ) as sku_rank
    from skus

),

identities as (

    select * from {{ ref('int_customers_resolved') }}

),

orders as (

    select * from {{ ref('int_orders_classified') }}

),

final as (

    select
        reviews.review_id,
        coalesce(products.product_key, '-1') as product_key,
        coalesce(identities.customer_key, orders.customer_key, '-1') as customer_key,
        reviews.product_id,
        orders.order_id,
        reviews.language,
        reviews.status,
        case when reviews.body is not null then {{ dbt.hash('reviews.body') }} end as text_hash,
        cast(length(reviews.body) as {{ dbt.type_int() }}) as text_length,
        cast(reviews.rating as {{ type_money() }}) as rating,
        cast(reviews.votes as {{ dbt.type_int() }}) as votes,
        coalesce(reviews.is_verified, false) as is_verified,
        reviews.is_deleted,
        products.product_key is null as is_product_unknown,
        -- what an average rating is taken over
        not reviews.is_deleted
        and coalesce(reviews.status, 'published') in ('published', 'approved')
        and reviews.rating between 1 and 5 as is_countable,
        {{ local_date('reviews.created_at') }} as review_date,
        reviews.created_at,
        reviews.edited_at
    from reviews
    left join products
        on
            reviews.product_id = products.product_id
            and products.sku_rank = 1
    left join identities
        on 'account:' || reviews.user_id = identities.identity_id
    left join orders
        on reviews.order_id = orders.order_id

)

select * from final
