-- One row per currency and day: its rate into the store's currency, carried on from the last published one.
--
-- Small (currencies × days), so built as a whole: the end moves on with the last complete day.
with

rates as (

    select * from {{ ref('int_exchange_rates') }}

),

calendar as (

    select date_day
    from {{ ref('dim_date') }}

),

bounds as (

    select min(valid_from) as first_date
    from rates

),

-- rates that were published before the calendar begins are needed by nobody
days as (

    select calendar.date_day as rate_date
    from calendar
    inner join bounds
        on calendar.date_day >= bounds.first_date
    where calendar.date_day <= {{ as_of_date() }}

),

currencies as (

    select distinct currency
    from rates

),

-- each day between the days of publication; a first one before the calendar begins is carried into it
events as (

    select
        currencies.currency,
        days.rate_date,
        cast(null as date) as valid_from
    from days
    cross join currencies

    union all

    select
        currency,
        valid_from as rate_date,
        valid_from
    from rates

),

carried as (

    select
        currency,
        rate_date,
        valid_from is null as is_day,
        max(valid_from) over (partition by currency order by rate_date asc nulls last) as published_date
    from events

),

final as (

    select
        rates.currency,
        {{ store_currency() }} as store_currency,
        cast(rates.rate_to_store_currency as numeric(20, 8)) as rate_to_store_currency,
        carried.rate_date = rates.valid_from as is_published,
        carried.rate_date,
        rates.valid_from as published_date
    from carried
    inner join rates
        on
            carried.currency = rates.currency
            and carried.published_date = rates.valid_from
    where carried.is_day

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
