-- One row per source identity: a user account, or one order placed without an account.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['identity_id'],
    meta={
        'entity': 'source', 'entity_column': 'source_id',
        'touches': {'identity': ['identity_id', 'merged_into_identity_id'], 'email': 'email_hash', 'phone': 'phone_hash'},
        'touched_also': [
            "select id from {{ touched('user') }} as users (id)",
            "select id from {{ touched('order') }} as orders (id)",
        ],
    },
    indexes=[
        {'columns': ['source_id']},
        {'columns': ['email_hash']},
        {'columns': ['phone_hash']},
        {'columns': ['merged_into_identity_id']},
    ],
) }}

with

users as (

    select * from {{ ref('stg_shop__users') }}
    where {{ is_touched('user_id') }}

),

orders as (

    select * from {{ ref('stg_shop__orders') }}
    where {{ is_touched('order_id') }}

),

orders_of_accounts as (

    select * from {{ ref('stg_shop__orders') }}
    where {{ is_touched('user_id') }}

),

accounts as (

    select
        'account:' || user_id as identity_id,
        'account' as identity_type,
        user_id as source_id,
        case when merged_into_user_id is not null then 'account:' || merged_into_user_id end
            as merged_into_identity_id,
        {{ normalised_email('email') }} as email,
        {{ normalised_phone('phone') }} as phone,
        coalesce(is_test, false) as is_test,
        true as has_document,
        (is_deleted or deleted_at is not null) as is_deleted,
        coalesce(signup_at, created_at) as first_seen_at
    from users

),

-- An order may name an account that was removed before the first load: the person is still one.
accounts_without_document as (

    select
        'account:' || orders_of_accounts.user_id as identity_id,
        'account' as identity_type,
        orders_of_accounts.user_id as source_id,
        cast(null as {{ dbt.type_string() }}) as merged_into_identity_id,
        cast(null as {{ dbt.type_string() }}) as email,
        cast(null as {{ dbt.type_string() }}) as phone,
        false as is_test,
        false as has_document,
        true as is_deleted,
        min(orders_of_accounts.placed_at) as first_seen_at
    from orders_of_accounts
    left join users
        on orders_of_accounts.user_id = users.user_id
    where
        orders_of_accounts.user_id is not null
        and users.user_id is null
    group by orders_of_accounts.user_id

),

guests as (

    select
        'guest:' || order_id as identity_id,
        'guest' as identity_type,
        order_id as source_id,
        cast(null as {{ dbt.type_string() }}) as merged_into_identity_id,
        {{ normalised_email('guest_email') }} as email,
        {{ normalised_phone('guest_phone') }} as phone,
        coalesce(is_test, false) as is_test,
        true as has_document,
        is_deleted,
        placed_at as first_seen_at
    from orders
    where user_id is null

),

unioned as (

    select * from accounts
    union all
    select * from accounts_without_document
    union all
    select * from guests

),

final as (

    select
        identity_id,
        identity_type,
        source_id,
        merged_into_identity_id,
        email,
        phone,
        case when email is not null then {{ dbt.hash('email') }} end as email_hash,
        case when phone is not null then {{ dbt.hash('phone') }} end as phone_hash,
        is_test,
        has_document,
        is_deleted,
        first_seen_at
    from unioned

)

select * from final
