-- One row per user document.
{{ config(
    unique_key='user_id',
    indexes=[
        {'columns': ['user_id'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('email', 'text', 'email'),
    ('phone', 'text', 'phone'),
    ('first_name', 'text', 'name.first'),
    ('last_name', 'text', 'name.last'),
    ('gender', 'code', 'gender'),
    ('locale', 'text', 'locale'),
    ('currency', 'text', 'currency'),
    ('signup_channel', 'code', 'signup.channel'),
    ('signup_campaign_id', 'id', 'signup.campaign_id'),
    ('signup_device', 'code', 'signup.device'),
    ('segment', 'text', 'segment'),
    ('merged_into_user_id', 'id', 'merged_into'),
    ('has_email_consent', 'boolean', 'consent.email'),
    ('has_sms_consent', 'boolean', 'consent.sms'),
    ('is_test', 'boolean', 'is_test'),
    ('birth_date', 'date', 'birth_date'),
    ('signup_at', 'timestamp', 'signup.at'),
    ('deleted_at', 'timestamp', 'deleted_at'),
    ('erased_at', 'timestamp', 'erased_at'),
    ('created_at', 'timestamp', 'created_at'),
    ('updated_at', 'timestamp', 'updated_at'),
    ('schema_version', 'integer', 'schema_version'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'users')) }}

),

addressed as (

    select
        document_id,
        doc,
        {{ json_array_first('doc', 'addresses', 'default') }} as default_address,
        is_deleted,
        _loaded_at
    from documents

),

typed as (

    {{ json_to_columns('addressed', 'doc', columns, ['document_id', 'default_address', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as user_id,
        email,
        phone,
        first_name,
        last_name,
        gender,
        locale,
        currency,
        {{ json_text('default_address', 'city') }} as city,
        {{ json_text('default_address', 'region') }} as region,
        {{ json_text('default_address', 'postal') }} as postal_code,
        {{ json_text('default_address', 'country') }} as country,
        signup_channel,
        signup_campaign_id,
        signup_device,
        segment,
        merged_into_user_id,
        has_email_consent,
        has_sms_consent,
        is_test,
        birth_date,
        signup_at,
        deleted_at,
        erased_at,
        created_at,
        updated_at,
        schema_version,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
