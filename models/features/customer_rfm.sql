-- One row per customer and as-of date: recency, frequency and money as they were known on that day.
--
-- As-of dates go back from the last complete day in steps of `features_as_of_step_days`. A customer is in
-- from the first order on. Scores compare the customers of one as-of date with each other; equal
-- customers get equal scores, so the order of rows decides nothing.
with

days as (

    select
        customer_key,
        activity_date,
        orders_to_date,
        order_days_to_date,
        demand_to_date_amount,
        returns_to_date_amount,
        monetary_to_date_amount,
        first_order_date,
        last_order_date,
        lead(activity_date) over (
            partition by customer_key
            order by activity_date asc nulls last
        ) as next_activity_date
    from {{ ref('fct_customer_days') }}

),

segments as (

    select * from {{ ref('rfm_segments') }}

),

as_of_dates as (

    {% for steps in range(var('features_as_of_count', 13)) -%}
    select cast({{ dbt.dateadd('day', -steps * var('features_as_of_step_days', 30), as_of_date()) }} as date) as as_of_date
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

-- the state that a person's last day left behind holds until their next one
aged as (

    select
        days.customer_key,
        as_of_dates.as_of_date,
        days.order_days_to_date as order_days,
        days.orders_to_date as orders,
        days.demand_to_date_amount as demand_amount,
        days.returns_to_date_amount as returns_amount,
        days.monetary_to_date_amount as monetary_amount,
        {{ dbt.datediff('days.last_order_date', 'as_of_dates.as_of_date', 'day') }} as recency_days,
        {{ dbt.datediff('days.first_order_date', 'as_of_dates.as_of_date', 'day') }} as tenure_days,
        days.first_order_date,
        days.last_order_date
    from as_of_dates
    inner join days
        on
            as_of_dates.as_of_date >= days.activity_date
            and (days.next_activity_date is null or as_of_dates.as_of_date < days.next_activity_date)
    where days.first_order_date is not null

),

scored as (

    select
        aged.*,
        {{ rfm_score('recency_days desc nulls last', 'as_of_date') }} as recency_score,
        {{ rfm_score('order_days asc', 'as_of_date') }} as frequency_score,
        {{ rfm_score('monetary_amount asc', 'as_of_date') }} as monetary_score
    from aged

),

coded as (

    select
        scored.*,
        cast(100 * recency_score + 10 * frequency_score + monetary_score as {{ dbt.type_string() }}) as rfm_code
    from scored

),

final as (

    select
        coded.customer_key,
        coded.rfm_code,
        segments.rfm_segment,
        cast(segments.rfm_segment_rank as {{ dbt.type_int() }}) as rfm_segment_rank,
        coded.recency_score,
        coded.frequency_score,
        coded.monetary_score,
        cast(coded.recency_days as {{ dbt.type_int() }}) as recency_days,
        cast(coded.tenure_days as {{ dbt.type_int() }}) as tenure_days,
        cast(coded.order_days as {{ dbt.type_int() }}) as order_days,
        cast(coded.orders as {{ dbt.type_int() }}) as orders,
        cast(coded.demand_amount as {{ type_money() }}) as demand_amount,
        cast(coded.returns_amount as {{ type_money() }}) as returns_amount,
        cast(coded.monetary_amount as {{ type_money() }}) as monetary_amount,
        coded.as_of_date = {{ as_of_date() }} as is_latest,
        coded.first_order_date,
        coded.last_order_date,
        coded.as_of_date
    from coded
    left join segments
        on coded.rfm_code = segments.rfm_code

)

select * from final
