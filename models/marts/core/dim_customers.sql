-- One row per person, accounts and guests alike, plus the unknown member '-1'.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['customer_key'],
    meta={
        'entity': 'customer',
        'entity_column': 'customer_key',
        'narrow_touches': {
            'customer_kind': {'key': 'customer_key', 'columns': ['is_anonymous']},
        },
        'touched_also': [
            "select customer_key from {{ ref('int_customers_resolved') }} where source_id in {{ touched('user', 'stg_shop__users') }}",
            "select customer_key from {{ ref('int_orders_classified') }} where order_id in {{ touched('order', 'stg_shop__orders') }}",
        ],
    },
    indexes=[{'columns': ['customer_id']}],
) }}

with

identities as (

    select * from {{ ref('int_customers_resolved') }}
    where {{ is_touched('customer_key') }}

),

users as (

    select * from {{ ref('stg_shop__users') }}
    where {{ is_in_few('user_id', "select source_id from identities where identity_type = 'account'") }}

),

orders as (

    select * from {{ ref('int_orders_classified') }}
    where {{ is_touched('customer_key') }}

),

shop_orders as (

    select
        order_id,
        ship_country,
        ship_region,
        ship_city
    from {{ ref('stg_shop__orders') }}
    where {{ is_in_few('order_id', 'select order_id from orders') }}

),

years as (

    select * from {{ ref('int_store_year') }}

),

people as (

    select
        customer_key,
        min(person_type) as person_type,
        max(case when identity_rank = 1 and identity_type = 'account' then source_id end) as customer_id,
        min(email_hash) as email_hash,
        min(phone_hash) as phone_hash,
        min(identity_count) as identity_count,
        min(case when is_test then 1 else 0 end) as is_test,
        min(case when is_deleted then 1 else 0 end) as is_deleted,
        max(case when has_document then 1 else 0 end) as has_document
    from identities
    group by customer_key

),

ordering as (

    select
        customer_key,
        min(order_date) as first_order_date,
        max(order_date) as last_order_date
    from orders
    where is_countable
    group by customer_key

),

-- where people without an account live: where their latest order went
destinations as (

    select
        orders.customer_key,
        shop_orders.ship_country,
        shop_orders.ship_region,
        shop_orders.ship_city,
        row_number() over (
            partition by orders.customer_key
            order by orders.ordered_at desc nulls last, orders.order_id asc
        ) as destination_rank
    from orders
    inner join shop_orders
        on orders.order_id = shop_orders.order_id
    where shop_orders.ship_country is not null

),

described as (

    select
        people.customer_key,
        people.customer_id,
        people.person_type as customer_type,
        people.email_hash,
        people.phone_hash,
        coalesce(users.country, destinations.ship_country) as country,
        coalesce(users.region, destinations.ship_region) as region,
        coalesce(users.city, destinations.ship_city) as city,
        users.gender,
        case
            when users.birth_date is null then null
            when extract(year from users.birth_date) > years.as_of_year then null
            else years.as_of_year - extract(year from users.birth_date)
        end as age,
        users.locale,
        users.currency as preferred_currency,
        coalesce(users.segment, 'none') as shop_segment,
        users.signup_channel as acquisition_channel,
        users.signup_device,
        users.signup_campaign_id,
        people.identity_count,
        people.person_type <> 'account' as is_guest,
        people.person_type = 'anonymous' as is_anonymous,
        people.is_test = 1 as is_test,
        people.is_deleted = 1 as is_deleted,
        users.erased_at is not null as is_erased,
        people.has_document = 0 as is_inferred,
        users.has_email_consent,
        users.has_sms_consent,
        {{ local_date('users.signup_at') }} as signup_date,
        ordering.first_order_date,
        ordering.last_order_date,
        users.erased_at
    from people
    cross join years
    left join users
        on people.customer_id = users.user_id
    left join destinations
        on
            people.customer_key = destinations.customer_key
            and destinations.destination_rank = 1
    left join ordering
        on people.customer_key = ordering.customer_key

),

aged as (

    select
        customer_key,
        customer_id,
        customer_type,
        email_hash,
        phone_hash,
        country,
        region,
        city,
        gender,
        case
            when age < 25 then '18-24'
            when age < 35 then '25-34'
            when age < 45 then '35-44'
            when age < 55 then '45-54'
            when age < 65 then '55-64'
            when age >= 65 then '65+'
        end as age_group,
        locale,
        preferred_currency,
        shop_segment,
        acquisition_channel,
        signup_device,
        signup_campaign_id,
        cast(identity_count as {{ dbt.type_int() }}) as identity_count,
        is_guest,
        is_anonymous,
        is_test,
        is_deleted,
        is_erased,
        is_inferred,
        has_email_consent,
        has_sms_consent,
        signup_date,
        first_order_date,
        last_order_date,
        erased_at
    from described

),

unknown_member as (

    select
        '-1' as customer_key,
        cast(null as {{ dbt.type_string() }}) as customer_id,
        'unknown' as customer_type,
        cast(null as {{ dbt.type_string() }}) as email_hash,
        cast(null as {{ dbt.type_string() }}) as phone_hash,
        cast(null as {{ dbt.type_string() }}) as country,
        cast(null as {{ dbt.type_string() }}) as region,
        cast(null as {{ dbt.type_string() }}) as city,
        cast(null as {{ dbt.type_string() }}) as gender,
        cast(null as {{ dbt.type_string() }}) as age_group,
        cast(null as {{ dbt.type_string() }}) as locale,
        cast(null as {{ dbt.type_string() }}) as preferred_currency,
        'none' as shop_segment,
        cast(null as {{ dbt.type_string() }}) as acquisition_channel,
        cast(null as {{ dbt.type_string() }}) as signup_device,
        cast(null as {{ dbt.type_string() }}) as signup_campaign_id,
        0 as identity_count,
        false as is_guest,
        false as is_anonymous,
        false as is_test,
        false as is_deleted,
        false as is_erased,
        false as is_inferred,
        cast(null as {{ dbt.type_boolean() }}) as has_email_consent,
        cast(null as {{ dbt.type_boolean() }}) as has_sms_consent,
        cast(null as date) as signup_date,
        cast(null as date) as first_order_date,
        cast(null as date) as last_order_date,
        cast(null as {{ dbt.type_timestamp() }}) as erased_at
    from years
    where {{ is_touched("'-1'") }}

),

final as (

    select * from aged
    union all
    select * from unknown_member

)

select * from final
