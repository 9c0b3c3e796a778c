-- One row per session document: its visitor and its account, as keys.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['session_id'],
    meta={
        'entity': 'session',
        'entity_column': 'session_id',
        'touches': {'visitor': 'visitor_key', 'identity': 'identity_id'},
    },
    indexes=[{'columns': ['session_id']}, {'columns': ['visitor_key']}, {'columns': ['identity_id']}],
) }}

with

sessions as (

    select * from {{ ref('stg_shop__sessions') }}
    where {{ is_touched('session_id') }}

),

final as (

    select
        session_id,
        {{ visitor_key('visitor_id', 'session_id') }} as visitor_key,
        case when user_id is not null then 'account:' || user_id end as identity_id
    from sessions

)

select * from final
