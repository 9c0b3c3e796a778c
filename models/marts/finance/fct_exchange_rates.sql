-- One row per currency and day: its rate into the store's currency, carried on from the last published one.
--
-- Small (currencies × days), so built as a whole: the end moves on with the last complete day.
with

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

bounds as (

    select min(valid_from) as first_date
    from rates

),

days as (

    {{ date_rows('(select first_date from bounds)', as_of_date(), 'rate_date') }}

),

final as (

    select
        rates.currency,
        {{ store_currency() }} as store_currency,
        cast(rates.rate_to_store_currency as numeric(20, 8)) as rate_to_store_currency,
        days.rate_date = rates.valid_from as is_published,
        days.rate_date,
        rates.valid_from as published_date
    from days
    inner join rates
        on
            days.rate_date >= rates.valid_from
            and (days.rate_date < rates.valid_until or rates.valid_until is null)

    union all

    -- so that every order's currency is found
    select
        {{ store_currency() }} as currency,
        {{ store_currency() }} as store_currency,
        cast(1 as numeric(20, 8)) as rate_to_store_currency,
        true as is_published,
        rate_date,
        rate_date as published_date
    from days

)

select * from final
