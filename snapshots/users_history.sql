{% snapshot users_history %}
{{
    config(
        unique_key='user_id',
        strategy='check',
        check_cols=[
            'country', 'currency', 'segment', 'has_email_consent', 'has_sms_consent',
            'merged_into_user_id', 'is_test', 'is_closed', 'is_erased', 'is_deleted',
        ],
        updated_at='_loaded_at',
        hard_deletes='invalidate',
    )
}}

-- no name, address or birthday: a history would outlive an erasure
select
    user_id,
    country,
    currency,
    segment,
    has_email_consent,
    has_sms_consent,
    merged_into_user_id,
    is_test,
    deleted_at is not null as is_closed,
    erased_at is not null as is_erased,
    is_deleted,
    _loaded_at
from {{ ref('stg_shop__users') }}
{% endsnapshot %}
