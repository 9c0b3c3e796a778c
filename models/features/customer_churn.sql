-- One row per customer and as-of date: what was known on that day, and whether an order came in the
-- `churn_horizon_days` after it. The label is null while that time is not over.
{% set horizon = var('churn_horizon_days', 90) %}
{% set windows = [30, 90, 180, 365] %}
with

rfm as (

    select * from {{ ref('customer_rfm') }}

),

customer_days as (

    select * from {{ ref('customer_days') }}
    where has_order

),

past as (

    select
        rfm.customer_key,
        rfm.as_of_date,
        {% for days in windows -%}
        sum(
            case when customer_days.activity_date > {{ dbt.dateadd('day', -days, 'rfm.as_of_date') }} then 1 else 0 end
        ) as order_days_{{ days }}d,
        sum(
            case
                when customer_days.activity_date > {{ dbt.dateadd('day', -days, 'rfm.as_of_date') }}
                    then customer_days.demand_amount
                else 0
            end
        ) as demand_{{ days }}d_amount,
        {% endfor -%}
        -- the same days of the year before as those that the label asks for; 52 weeks keep the weekday
        sum(
            case
                when
                    customer_days.activity_date > {{ dbt.dateadd('day', -364, 'rfm.as_of_date') }}
                    and customer_days.activity_date <= {{ dbt.dateadd('day', horizon - 364, 'rfm.as_of_date') }}
                    then 1
                else 0
            end
        ) as order_days_same_season,
        max({{ dbt.datediff('customer_days.previous_order_date', 'customer_days.activity_date', 'day') }})
            as longest_gap_days,
        stddev_pop({{ dbt.datediff('customer_days.previous_order_date', 'customer_days.activity_date', 'day') }})
            as gap_deviation_days,
        sum(
            case when customer_days.activity_date = rfm.last_order_date then customer_days.demand_amount else 0 end
        ) as last_demand_amount
    from rfm
    inner join customer_days
        on
            rfm.customer_key = customer_days.customer_key
            and rfm.as_of_date >= customer_days.activity_date
    group by rfm.customer_key, rfm.as_of_date

),

future as (

    select
        rfm.customer_key,
        rfm.as_of_date,
        count(*) as order_days_ahead
    from rfm
    inner join customer_days
        on
            rfm.customer_key = customer_days.customer_key
            and rfm.as_of_date < customer_days.activity_date
            and {{ dbt.dateadd('day', horizon, 'rfm.as_of_date') }} >= customer_days.activity_date
    group by rfm.customer_key, rfm.as_of_date

),

final as (

    select
        rfm.customer_key,
        rfm.recency_days,
        rfm.tenure_days,
        rfm.order_days,
        rfm.orders,
        {% for days in windows -%}
        cast(past.order_days_{{ days }}d as {{ dbt.type_int() }}) as order_days_{{ days }}d,
        {% endfor -%}
        cast(past.order_days_same_season as {{ dbt.type_int() }}) as order_days_same_season,
        cast(past.longest_gap_days as {{ dbt.type_int() }}) as longest_gap_days,
        cast(past.gap_deviation_days as {{ dbt.type_float() }}) as gap_deviation_days,
        rfm.monetary_amount,
        rfm.returns_amount,
        {% for days in windows -%}
        cast(past.demand_{{ days }}d_amount as {{ type_money() }}) as demand_{{ days }}d_amount,
        {% endfor -%}
        cast(past.last_demand_amount as {{ type_money() }}) as last_demand_amount,
        rfm.is_latest,
        case
            when {{ dbt.dateadd('day', horizon, 'rfm.as_of_date') }} <= {{ as_of_date() }}
                then future.order_days_ahead is null
        end as is_churned,
        rfm.as_of_date
    from rfm
    inner join past
        on
            rfm.customer_key = past.customer_key
            and rfm.as_of_date = past.as_of_date
    left join future
        on
            rfm.customer_key = future.customer_key
            and rfm.as_of_date = future.as_of_date

)

select * from final
