-- One row per customer and as-of date: recency, frequency and money as they were known on that day.
--
-- As-of dates go back from the last complete day in steps of `features_as_of_step_days`. A customer is in
-- from the first order on. Scores compare the customers of one as-of date with each other; equal
-- customers get equal scores, so the order of rows decides nothing.
with

customer_days as (

    select * from {{ ref('customer_days') }}

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

history as (

    select
        as_of_dates.as_of_date,
        customer_days.*
    from as_of_dates
    inner join customer_days
        on as_of_dates.as_of_date >= customer_days.activity_date

),

counted as (

    select
        customer_key,
        as_of_date,
        sum(case when has_order then 1 else 0 end) as order_days,
        sum(orders) as orders,
        sum(demand_amount) as demand_amount,
        sum(returns_amount) as returns_amount,
        min(case when has_order then activity_date end) as first_order_date,
        max(case when has_order then activity_date end) as last_order_date
    from history
    group by customer_key, as_of_date

),

aged as (

    select
        customer_key,
        as_of_date,
        order_days,
        orders,
        demand_amount,
        returns_amount,
        demand_amount - returns_amount as monetary_amount,
        {{ dbt.datediff('last_order_date', 'as_of_date', 'day') }} as recency_days,
        {{ dbt.datediff('first_order_date', 'as_of_date', 'day') }} as tenure_days,
        first_order_date,
        last_order_date
    from counted
    where first_order_date is not null

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
