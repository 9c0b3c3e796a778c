-- One row per fixed cost and day on which it was paid, up to the last complete day.
--
-- A month's amount is spread over its days so that the days add up to it: each takes what the
-- rounded running total has grown by.
with

overheads as (

    select * from {{ ref('overheads') }}

),

bounds as (

    select min(valid_from) as first_date
    from overheads

),

days as (

    {{ date_rows('(select first_date from bounds)', as_of_date(), 'overhead_date') }}

),

spread as (

    select
        overheads.overhead,
        overheads.store_id,
        overheads.amount_per_month,
        days.overhead_date,
        extract(day from days.overhead_date) as day_of_month,
        extract(day from {{ dbt.last_day('days.overhead_date', 'month') }}) as days_in_month
    from overheads
    inner join days
        on
            days.overhead_date >= overheads.valid_from
            and (days.overhead_date < overheads.valid_until or overheads.valid_until is null)

),

final as (

    select
        overhead,
        store_id,
        cast(
            {{ round_money('amount_per_month * day_of_month / days_in_month') }}
            - {{ round_money('amount_per_month * (day_of_month - 1) / days_in_month') }} as {{ type_money() }}
        ) as overhead_amount,
        overhead_date
    from spread

)

select * from final
