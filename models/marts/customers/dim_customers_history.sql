-- One row per account and version: what the shop knew of it, and from when to when.
--
-- A version begins when its change was loaded. The first one also stands for all time before it: nothing
-- older is known, and an order from before the first load finds a version all the same.
with

versions as (

    select * from {{ ref('users_history') }}

),

identities as (

    select * from {{ ref('int_customers_resolved') }}
    where identity_type = 'account'

),

numbered as (

    select
        *,
        row_number() over (partition by user_id order by dbt_valid_from asc) as version_number,
        lead(dbt_valid_from) over (partition by user_id order by dbt_valid_from asc) as next_valid_from
    from versions

),

final as (

    select
        {{ surrogate_key(['numbered.user_id', 'numbered.version_number']) }} as customer_version_key,
        numbered.user_id as account_id,
        coalesce(identities.customer_key, '-1') as customer_key,
        numbered.country,
        numbered.currency as preferred_currency,
        coalesce(numbered.segment, 'none') as shop_segment,
        numbered.merged_into_user_id as merged_into_account_id,
        cast(numbered.version_number as {{ dbt.type_int() }}) as version_number,
        numbered.has_email_consent,
        numbered.has_sms_consent,
        coalesce(numbered.is_test, false) as is_test,
        numbered.is_closed,
        numbered.is_erased,
        numbered.is_deleted,
        coalesce(identities.identity_rank = 1, false) as is_primary,
        numbered.next_valid_from is null as is_current,
        case
            when numbered.version_number = 1 then {{ text_to_timestamp("'1900-01-01T00:00:00Z'") }}
            else numbered.dbt_valid_from
        end as valid_from,
        -- no gap, even where the document was gone for a while: what was known last holds on
        coalesce(numbered.next_valid_from, {{ text_to_timestamp("'9999-12-31T00:00:00Z'") }}) as valid_to,
        numbered.dbt_valid_from as observed_at
    from numbered
    left join identities
        on numbered.user_id = identities.source_id

)

select * from final
