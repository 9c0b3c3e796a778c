-- One row per currency and date of a published rate into the store's currency, with its validity.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['currency', 'valid_from'],
    meta={
        'touches': {'rate': 'rate_key'},
    },
) }}

with

rates as (

    select
        rate_date,
        base_currency,
        quote_currency,
        rate
    from {{ ref('stg_shop__exchange_rates') }}
    where
        rate > 0
        and not is_deleted

),

both_ways as (

    select
        rate_date,
        base_currency as currency,
        rate,
        0 as is_inverted
    from rates
    where quote_currency = {{ store_currency() }}

    union all

    select
        rate_date,
        quote_currency as currency,
        1 / rate as rate,
        1 as is_inverted
    from rates
    where base_currency = {{ store_currency() }}

),

-- two documents for one day: the rate quoted directly, else the higher (a total ordering, no meaning)
one_a_day as (

    select
        rate_date,
        currency,
        rate,
        row_number() over (
            partition by currency, rate_date
            order by is_inverted asc, rate desc nulls last
        ) as rate_rank
    from both_ways
    where currency <> {{ store_currency() }}

),

final as (

    select
        {{ dbt.concat(['currency', "' '", 'cast(rate_date as ' ~ dbt.type_string() ~ ')']) }} as rate_key,
        currency,
        rate as rate_to_store_currency,
        rate_date as valid_from,
        lead(rate_date) over (partition by currency order by rate_date asc nulls last) as valid_until
    from one_a_day
    where rate_rank = 1

)

select * from final
