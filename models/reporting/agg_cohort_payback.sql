-- One row per monthly cohort: what it cost to win, and the day on which its margin had paid for it.
--
-- The cost is blended: all advertising of the month over all its new customers. The day is looked for
-- among those that the whole cohort has lived through; not reached by then is censored, not never.
with

orders as (

    select * from {{ ref('fct_customer_orders') }}
    where order_date <= {{ as_of_date() }}

),

spend as (

    select * from {{ ref('fct_campaign_spend_daily') }}

),

as_of as (

    select {{ as_of_date() }} as as_of_date

),

spend_months as (

    select
        cast({{ dbt.date_trunc('month', 'spend_date') }} as date) as cohort_start_date,
        sum(spend_amount) as marketing_spend_amount
    from spend
    group by cast({{ dbt.date_trunc('month', 'spend_date') }} as date)

),

cohorts as (

    select
        cast({{ dbt.date_trunc('month', 'first_order_date') }} as date) as cohort_start_date,
        count(case when order_seq = 1 then 1 end) as cohort_size,
        sum(cm2_amount) as cm2_amount,
        sum(case when days_since_first <= 360 then cm2_amount else 0 end) as cm2_360d_amount,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount
    from orders
    group by cast({{ dbt.date_trunc('month', 'first_order_date') }} as date)

),

priced as (

    select
        cohorts.*,
        coalesce(spend_months.marketing_spend_amount, 0) as marketing_spend_amount,
        coalesce(spend_months.marketing_spend_amount, 0) / cohorts.cohort_size as cac_amount,
        coalesce(cohorts.costed_demand_amount >= {{ var('least_cost_coverage') }} * cohorts.demand_amount, false)
            as is_costed,
        -- the last member has had so many days; below 0 while the month goes on
        {{ dbt.datediff(dbt.dateadd('day', -1, dbt.dateadd('month', 1, 'cohorts.cohort_start_date')), 'as_of.as_of_date', 'day') }}
            as observed_days
    from cohorts
    cross join as_of
    left join spend_months
        on cohorts.cohort_start_date = spend_months.cohort_start_date

),

cohort_days as (

    select
        cast({{ dbt.date_trunc('month', 'first_order_date') }} as date) as cohort_start_date,
        days_since_first,
        sum(cm2_amount) as cm2_amount
    from orders
    group by cast({{ dbt.date_trunc('month', 'first_order_date') }} as date), days_since_first

),

cumulated as (

    select
        cohort_start_date,
        days_since_first,
        sum(cm2_amount) over (
            partition by cohort_start_date
            order by days_since_first asc
            rows between unbounded preceding and current row
        ) as cm2_to_day_amount
    from cohort_days

),

payback as (

    select
        priced.cohort_start_date,
        min(cumulated.days_since_first) as payback_day
    from priced
    inner join cumulated
        on priced.cohort_start_date = cumulated.cohort_start_date
    where
        priced.is_costed
        and priced.marketing_spend_amount > 0
        and cumulated.days_since_first <= priced.observed_days
        and cumulated.cm2_to_day_amount >= priced.marketing_spend_amount
    group by priced.cohort_start_date

),

final as (

    select
        cast(priced.cohort_size as {{ dbt.type_int() }}) as cohort_size,
        cast(greatest(priced.observed_days, 0) as {{ dbt.type_int() }}) as observed_days,
        cast(payback.payback_day as {{ dbt.type_int() }}) as payback_day,
        cast(priced.marketing_spend_amount as {{ type_money() }}) as marketing_spend_amount,
        cast(priced.cac_amount as {{ type_money() }}) as cac_amount,
        cast(priced.cm2_amount as {{ type_money() }}) as cm2_amount,
        cast(priced.demand_amount as {{ type_money() }}) as demand_amount,
        cast(priced.costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        cast(
            case
                when priced.is_costed and priced.observed_days >= 360 then priced.cm2_360d_amount / priced.cohort_size
            end as {{ type_money() }}
        ) as cm2_ltv_360d_amount,
        cast(
            case
                when priced.is_costed and priced.observed_days >= 360 and priced.marketing_spend_amount > 0
                    then priced.cm2_360d_amount / priced.marketing_spend_amount
            end as numeric(12, 6)
        ) as ltv_to_cac,
        payback.payback_day is not null as is_paid_back,
        priced.observed_days >= 0 as is_complete,
        priced.cohort_start_date
    from priced
    left join payback
        on priced.cohort_start_date = payback.cohort_start_date

)

select * from final
