-- One row per recognisable person and month, from the month of the first order on: their state at its end.
--
-- Event basis: a return counts from its own day on, so a month that was closed is restated only by
-- documents that came late. The running month is as of the last complete day. Scores compare the people
-- of one month with each other; who is equal scores equally.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['customer_month_key'],
    meta={
        'entity': 'month',
        'entity_column': 'month_start_date',
        'touched_also': [
            '{{ customer_months_since("(select min(cast(months.entity_id as date)) from " ~ touched("month") ~ " as months)") }}',
            '{{ customer_months_since("(select " ~ dbt.dateadd("day", 1, "max(states.snapshot_date)") ~ " from " ~ this ~ " as states)") }}',
        ],
    },
) }}

{% set new_days = var('lifecycle_new_days', 30) %}
{% set active_days = var('churn_horizon_days') %}
{% set lapsed_days = var('lifecycle_lapsed_days', 180) %}
{% set window_months = 24 %}

with

days as (

    select
        *,
        lead(activity_date) over (
            partition by customer_key
            order by activity_date asc nulls last
        ) as next_activity_date
    from {{ ref('fct_customer_days') }}
    where first_order_date is not null

),

codes as (

    select * from {{ ref('rfm_segments') }}

),

calendar as (

    {{ date_rows('(select min(firsts.first_order_date) from ' ~ ref('fct_customer_days') ~ ' as firsts)', as_of_date(), 'calendar_date') }}

),

months as (

    select
        cast({{ dbt.date_trunc('month', 'calendar_date') }} as date) as month_start_date,
        cast({{ dbt.dateadd('month', 1, dbt.date_trunc('month', 'calendar_date')) }} as date) as next_month_start_date,
        max(calendar_date) as snapshot_date
    from calendar
    group by
        cast({{ dbt.date_trunc('month', 'calendar_date') }} as date),
        cast({{ dbt.dateadd('month', 1, dbt.date_trunc('month', 'calendar_date')) }} as date)

),

dated_months as (

    select
        month_start_date,
        snapshot_date,
        cast({{ dbt.dateadd('month', -window_months, 'snapshot_date') }} as date) as window_start_date,
        {{ dbt.dateadd('day', 1, 'snapshot_date') }} = next_month_start_date as is_complete
    from months
    where
        {{ is_touched('month_start_date') }}
        -- the month before is where people came from
        or {{ is_touched('next_month_start_date') }}

),

-- of few months few rows are wanted: those that hold at their ends, and those from before their windows
held as (

    select * from days
    where
        next_activity_date is null
        or next_activity_date > (select min(dated_months.snapshot_date) from dated_months)

),

earlier as (

    select
        customer_key,
        order_days_to_date,
        monetary_to_date_amount,
        activity_date,
        next_activity_date
    from days
    where activity_date <= (select max(dated_months.window_start_date) from dated_months)

),

-- one row of each person holds on the last day of the month
states as (

    select
        dated_months.month_start_date,
        dated_months.snapshot_date,
        dated_months.window_start_date,
        dated_months.is_complete,
        held.customer_key,
        held.orders_to_date as orders,
        held.order_days_to_date as order_days,
        held.demand_to_date_amount as demand_amount,
        held.returns_to_date_amount as returns_amount,
        held.monetary_to_date_amount as monetary_amount,
        held.first_order_date,
        held.last_order_date,
        {{ dbt.datediff('held.last_order_date', 'dated_months.snapshot_date', 'day') }} as recency_days,
        {{ dbt.datediff('held.first_order_date', 'dated_months.snapshot_date', 'day') }} as tenure_days
    from dated_months
    inner join held
        on
            dated_months.snapshot_date >= held.activity_date
            and (held.next_activity_date is null or dated_months.snapshot_date < held.next_activity_date)

),

-- what was there before the window is taken off what is there at its end
windowed as (

    select
        states.*,
        states.last_order_date > states.window_start_date as is_in_window,
        states.order_days - coalesce(earlier.order_days_to_date, 0) as window_order_days,
        states.monetary_amount - coalesce(earlier.monetary_to_date_amount, 0) as window_monetary_amount
    from states
    left join earlier
        on
            states.customer_key = earlier.customer_key
            and states.window_start_date >= states.first_order_date
            and states.window_start_date >= earlier.activity_date
            and (earlier.next_activity_date is null or states.window_start_date < earlier.next_activity_date)

),

scored as (

    select
        windowed.*,
        {{ rfm_score('recency_days desc nulls last', 'month_start_date') }} as recency_score,
        {{ rfm_score('order_days asc', 'month_start_date') }} as frequency_score,
        {{ rfm_score('monetary_amount asc', 'month_start_date') }} as monetary_score,
        {{ rfm_score('recency_days desc nulls last', 'month_start_date, is_in_window') }} as window_recency_score,
        {{ rfm_score('window_order_days asc', 'month_start_date, is_in_window') }} as window_frequency_score,
        {{ rfm_score('window_monetary_amount asc', 'month_start_date, is_in_window') }} as window_monetary_score
    from windowed

),

coded as (

    select
        scored.*,
        cast(100 * recency_score + 10 * frequency_score + monetary_score as {{ dbt.type_string() }}) as rfm_code,
        case
            when is_in_window
                then cast(
                    100 * window_recency_score + 10 * window_frequency_score + window_monetary_score
                    as {{ dbt.type_string() }}
                )
        end as window_rfm_code,
        case
            when tenure_days < {{ new_days }} then 'new'
            when recency_days <= {{ active_days }} then 'active'
            when recency_days <= {{ lapsed_days }} then 'at_risk'
            else 'lapsed'
        end as lifecycle_stage
    from scored

),

named as (

    select
        coded.*,
        codes.rfm_segment,
        codes.shopify_group,
        window_codes.rfm_segment as window_rfm_segment,
        lag(codes.rfm_segment) over (
            partition by coded.customer_key
            order by coded.month_start_date asc nulls last
        ) as previous_rfm_segment,
        lag(coded.lifecycle_stage) over (
            partition by coded.customer_key
            order by coded.month_start_date asc nulls last
        ) as previous_lifecycle_stage
    from coded
    left join codes
        on coded.rfm_code = codes.rfm_code
    left join codes as window_codes
        on coded.window_rfm_code = window_codes.rfm_code

),

final as (

    select
        {{ surrogate_key(['customer_key', 'month_start_date']) }} as customer_month_key,
        customer_key,
        rfm_code,
        rfm_segment,
        shopify_group,
        lifecycle_stage,
        previous_rfm_segment,
        previous_lifecycle_stage,
        window_rfm_code as rfm_code_24m,
        window_rfm_segment as rfm_segment_24m,
        recency_score,
        frequency_score,
        monetary_score,
        cast(recency_days as {{ dbt.type_int() }}) as recency_days,
        cast(tenure_days as {{ dbt.type_int() }}) as tenure_days,
        cast(order_days as {{ dbt.type_int() }}) as order_days,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(window_order_days as {{ dbt.type_int() }}) as order_days_24m,
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(returns_amount as {{ type_money() }}) as returns_amount,
        cast(monetary_amount as {{ type_money() }}) as monetary_amount,
        cast(window_monetary_amount as {{ type_money() }}) as monetary_24m_amount,
        is_complete,
        month_start_date,
        snapshot_date,
        first_order_date,
        last_order_date
    from named
    where {{ is_touched('month_start_date') }}

)

select * from final
