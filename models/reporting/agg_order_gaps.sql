-- One row per kind of gap and number of days: how many people still had not ordered again after them.
--
-- Kaplan and Meier's estimate: those who have not ordered again yet are censored on the last complete
-- day, not left out. Orders of one day are one visit.
with

days as (

    select * from {{ ref('fct_customer_days') }}
    where
        has_order
        and activity_date <= {{ as_of_date() }}

),

as_of as (

    select {{ as_of_date() }} as as_of_date

),

-- each order day ends the gap that the one before it began
ended as (

    select
        order_days_to_date = 2 as is_first,
        true as has_ended,
        {{ dbt.datediff('previous_order_date', 'activity_date', 'day') }} as gap_days
    from days
    where previous_order_date is not null

),

last_days as (

    select
        customer_key,
        max(activity_date) as last_order_date,
        max(order_days_to_date) as order_days
    from days
    group by customer_key

),

running as (

    select
        last_days.order_days = 1 as is_first,
        false as has_ended,
        {{ dbt.datediff('last_days.last_order_date', 'as_of.as_of_date', 'day') }} as gap_days
    from last_days
    cross join as_of

),

gaps as (

    select * from ended
    union all
    select * from running

),

kinds as (

    select
        'all' as gap_kind,
        gap_days,
        has_ended
    from gaps

    union all

    select
        'first_to_second' as gap_kind,
        gap_days,
        has_ended
    from gaps
    where is_first

),

counted as (

    select
        gap_kind,
        gap_days,
        count(case when has_ended then 1 end) as reorders,
        count(case when not has_ended then 1 end) as censored
    from kinds
    group by gap_kind, gap_days

),

at_risk as (

    select
        *,
        sum(reorders + censored) over (
            partition by gap_kind
            order by gap_days desc nulls last
            rows between unbounded preceding and current row
        ) as at_risk,
        sum(reorders) over (partition by gap_kind) as all_reorders,
        sum(reorders) over (
            partition by gap_kind
            order by gap_days asc
            rows between unbounded preceding and current row
        ) as cumulative_reorders
    from counted

),

survived as (

    select
        *,
        case
            -- nobody is left: the logarithm of nothing has no value
            when max(case when reorders = at_risk then 1 else 0 end) over until_now = 1 then 0
            else exp(sum(case when reorders < at_risk then ln(1 - cast(reorders as {{ dbt.type_float() }}) / at_risk) else 0 end) over until_now)
        end as survival
    from at_risk
    window
        until_now as (
            partition by gap_kind
            order by gap_days asc
            rows between unbounded preceding and current row
        )

),

final as (

    select
        {{ surrogate_key(['gap_kind', 'gap_days']) }} as gap_key,
        gap_kind,
        cast(gap_days as {{ dbt.type_int() }}) as gap_days,
        cast(at_risk as {{ dbt.type_int() }}) as at_risk,
        cast(reorders as {{ dbt.type_int() }}) as reorders,
        cast(censored as {{ dbt.type_int() }}) as censored,
        cast(cumulative_reorders as {{ dbt.type_int() }}) as cumulative_reorders,
        cast(
            case when all_reorders > 0 then cast(cumulative_reorders as numeric(20, 6)) / all_reorders end
            as numeric(9, 6)
        ) as share_of_reorders,
        cast(survival as numeric(9, 6)) as survival
    from survived

)

select * from final
