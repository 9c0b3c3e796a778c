-- One row per source identity (account, or order without an account) and the person it was resolved to.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['identity_id'],
    meta={
        'entity': 'identity', 'entity_column': 'identity_id',
        'touches': {'customer': 'customer_key'},
    },
    indexes=[
        {'columns': ['customer_key']},
        {'columns': ['source_id']},
    ],
) }}

with

resolved as (

    select * from {{ ref('int_customers_resolved') }}
    where {{ is_touched('identity_id') }}

),

final as (

    select
        identity_id,
        customer_key,
        identity_type,
        source_id,
        match_rule,
        email_hash,
        phone_hash,
        cast(confidence as numeric(4, 2)) as confidence,
        identity_rank = 1 as is_primary,
        first_seen_at
    from resolved

)

select * from final
