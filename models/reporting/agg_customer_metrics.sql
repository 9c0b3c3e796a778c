-- One row per person, plus the unknown member '-1': everything about them, as of the last complete day.
--
-- Full each time, because every day changes every row; what does not depend on the day is summed up in
-- fct_customer_lifetimes.
{% set lapsed_days = var('lifecycle_lapsed_days', 180) %}
{% set components = ['recency', 'trend', 'returns', 'rating'] %}

with

customers as (

    select * from {{ ref('dim_customers') }}

),

lifetimes as (

    select * from {{ ref('fct_customer_lifetimes') }}

),

states as (

    select * from {{ ref('fct_customer_snapshot') }}
    where snapshot_date = {{ as_of_date() }}

),

strategies as (

    select * from {{ ref('rfm_strategies') }}

),

days as (

    select * from {{ ref('fct_customer_days') }}

),

weights as (

    select
        {% for component in components -%}
        sum(case when component = '{{ component }}' then weight else 0 end) as {{ component }}_weight{{ ',' if not loop.last }}
        {% endfor -%}
    from {{ ref('health_weights') }}

),

as_of as (

    select {{ as_of_date() }} as as_of_date

),

-- the last half of a year and the one before it
trends as (

    select
        days.customer_key,
        sum(
            case
                when days.activity_date > {{ dbt.dateadd('day', -lapsed_days, 'as_of.as_of_date') }} then days.demand_amount
                else 0
            end
        ) as recent_demand_amount,
        sum(
            case
                when days.activity_date > {{ dbt.dateadd('day', -lapsed_days, 'as_of.as_of_date') }} then 0
                else days.demand_amount
            end
        ) as earlier_demand_amount
    from days
    cross join as_of
    where
        days.activity_date > {{ dbt.dateadd('day', -2 * lapsed_days, 'as_of.as_of_date') }}
        and days.activity_date <= as_of.as_of_date
    group by days.customer_key

),

joined as (

    select
        customers.customer_key,
        customers.customer_id,
        customers.customer_type,
        customers.country,
        customers.acquisition_channel,
        customers.shop_segment,
        not customers.is_anonymous
        and customers.customer_key <> '-1'
        and not coalesce(customers.is_test, false) as is_recognisable,
        customers.signup_date,
        as_of.as_of_date,
        lifetimes.first_order_date,
        lifetimes.last_order_date,
        lifetimes.first_category,
        lifetimes.first_channel,
        lifetimes.first_country,
        lifetimes.favourite_category,
        lifetimes.favourite_category_orders,
        coalesce(lifetimes.orders, 0) as orders,
        coalesce(lifetimes.kept_orders, 0) as kept_orders,
        coalesce(lifetimes.order_days, 0) as order_days,
        coalesce(lifetimes.discounted_orders, 0) as discounted_orders,
        coalesce(lifetimes.returned_orders, 0) as returned_orders,
        coalesce(lifetimes.categories, 0) as categories,
        coalesce(lifetimes.reviews, 0) as reviews,
        coalesce(lifetimes.units, 0) as units,
        coalesce(lifetimes.returned_units, 0) as returned_units,
        coalesce(lifetimes.gross_sales_amount, 0) as gross_sales_amount,
        coalesce(lifetimes.discount_amount, 0) as discount_amount,
        coalesce(lifetimes.returns_amount, 0) as returns_amount,
        coalesce(lifetimes.net_sales_amount, 0) as net_sales_amount,
        coalesce(lifetimes.gross_profit_amount, 0) as gross_profit_amount,
        coalesce(lifetimes.cm2_amount, 0) as cm2_amount,
        coalesce(lifetimes.demand_amount, 0) as demand_amount,
        coalesce(lifetimes.costed_demand_amount, 0) as costed_demand_amount,
        coalesce(lifetimes.costed_demand_amount >= {{ var('least_cost_coverage') }} * lifetimes.demand_amount, false)
            as is_costed,
        lifetimes.median_gap_days,
        lifetimes.first_gap_days,
        lifetimes.average_rating,
        lifetimes.is_first_discounted,
        states.rfm_code,
        states.rfm_segment,
        states.lifecycle_stage,
        states.shopify_group,
        states.recency_score,
        states.frequency_score,
        states.monetary_score,
        states.recency_days,
        states.tenure_days,
        trends.recent_demand_amount,
        trends.earlier_demand_amount
    from customers
    cross join as_of
    left join lifetimes
        on customers.customer_key = lifetimes.customer_key
    left join states
        on customers.customer_key = states.customer_key
    left join trends
        on customers.customer_key = trends.customer_key

),

-- each component between 0 (bad) and 1 (good); null where nothing is known
rated as (

    select
        joined.*,
        case
            when recency_days is not null
                then greatest(0, 1 - cast(recency_days as numeric(20, 6)) / {{ lapsed_days }})
        end as recency_health,
        case
            when recency_days is null then null
            when coalesce(recent_demand_amount, 0) + coalesce(earlier_demand_amount, 0) > 0
                then recent_demand_amount / (recent_demand_amount + earlier_demand_amount)
            else 0
        end as trend_health,
        case
            when recency_days is not null and gross_sales_amount - discount_amount > 0
                then greatest(0, 1 - greatest(0, returns_amount) / (gross_sales_amount - discount_amount))
        end as returns_health,
        case when recency_days is not null then (average_rating - 1) / 4 end as rating_health
    from joined

),

weighted as (

    select
        rated.*,
        {% for component in components -%}
        coalesce({{ component }}_health * weights.{{ component }}_weight, 0){{ ' + ' if not loop.last }}
        {%- endfor %} as weighted_health,
        {% for component in components -%}
        case when {{ component }}_health is not null then weights.{{ component }}_weight else 0 end{{ ' + ' if not loop.last }}
        {%- endfor %} as known_weight
    from rated
    cross join weights

),

final as (

    select
        weighted.customer_key,
        weighted.customer_id,
        weighted.customer_type,
        weighted.country,
        weighted.acquisition_channel,
        weighted.shop_segment,
        weighted.first_category,
        weighted.first_channel,
        weighted.first_country,
        weighted.favourite_category,
        weighted.rfm_code,
        weighted.rfm_segment,
        -- a person who has not ordered yet
        case
            when weighted.is_recognisable then coalesce(weighted.shopify_group, 'PROSPECTS')
        end as shopify_group,
        strategies.segment_of_6,
        strategies.segment_of_6_with_new,
        strategies.segment_of_5,
        strategies.strategy_code,
        weighted.lifecycle_stage,
        case
            when weighted.known_weight = 0 then null
            when weighted.weighted_health >= {{ var('health_good_from', 0.66) }} * weighted.known_weight then 'good'
            when weighted.weighted_health >= {{ var('health_fair_from', 0.33) }} * weighted.known_weight then 'fair'
            else 'poor'
        end as health,
        weighted.recency_score,
        weighted.frequency_score,
        weighted.monetary_score,
        cast(weighted.orders as {{ dbt.type_int() }}) as orders,
        cast(weighted.kept_orders as {{ dbt.type_int() }}) as kept_orders,
        cast(weighted.order_days as {{ dbt.type_int() }}) as order_days,
        cast(weighted.discounted_orders as {{ dbt.type_int() }}) as discounted_orders,
        cast(weighted.returned_orders as {{ dbt.type_int() }}) as returned_orders,
        cast(weighted.categories as {{ dbt.type_int() }}) as categories,
        cast(weighted.favourite_category_orders as {{ dbt.type_int() }}) as favourite_category_orders,
        cast(weighted.reviews as {{ dbt.type_int() }}) as reviews,
        cast(weighted.recency_days as {{ dbt.type_int() }}) as recency_days,
        cast(weighted.tenure_days as {{ dbt.type_int() }}) as tenure_days,
        cast({{ dbt.datediff('weighted.signup_date', 'weighted.as_of_date', 'day') }} as {{ dbt.type_int() }}) as days_since_signup,
        cast(weighted.first_gap_days as {{ dbt.type_int() }}) as first_gap_days,
        cast(weighted.median_gap_days as numeric(9, 1)) as median_gap_days,
        cast(weighted.units as {{ type_money() }}) as units,
        cast(weighted.returned_units as {{ type_money() }}) as returned_units,
        cast(weighted.gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(weighted.discount_amount as {{ type_money() }}) as discount_amount,
        cast(weighted.returns_amount as {{ type_money() }}) as returns_amount,
        cast(weighted.net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(weighted.gross_profit_amount as {{ type_money() }}) as gross_profit_amount,
        cast(weighted.cm2_amount as {{ type_money() }}) as cm2_amount,
        cast(weighted.demand_amount as {{ type_money() }}) as demand_amount,
        cast(weighted.costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        cast(weighted.net_sales_amount as {{ type_money() }}) as historic_clv_amount,
        cast(case when weighted.is_costed then weighted.cm2_amount end as {{ type_money() }}) as historic_clv_cm2_amount,
        cast(
            case when weighted.orders > 0 then (weighted.gross_sales_amount - weighted.discount_amount) / weighted.orders end
            as {{ type_money() }}
        ) as average_order_value,
        cast(
            case when weighted.demand_amount <> 0 then weighted.costed_demand_amount / weighted.demand_amount end
            as numeric(9, 6)
        ) as cost_coverage,
        cast(
            case when weighted.gross_sales_amount > 0 then weighted.discount_amount / weighted.gross_sales_amount end
            as numeric(12, 6)
        ) as discount_rate,
        cast(
            case when weighted.orders > 0 then cast(weighted.discounted_orders as numeric(20, 6)) / weighted.orders end
            as numeric(9, 6)
        ) as discount_dependence,
        cast(
            case
                when weighted.tenure_days > 0 then weighted.orders * 30.4375 / weighted.tenure_days
            end as numeric(20, 6)
        ) as orders_per_month,
        cast(weighted.average_rating as numeric(9, 4)) as average_rating,
        {% for component in components -%}
        cast(weighted.{{ component }}_health as numeric(9, 6)) as {{ component }}_health,
        {% endfor -%}
        cast(
            case when weighted.known_weight > 0 then weighted.weighted_health / weighted.known_weight end as numeric(9, 6)
        ) as health_score,
        weighted.is_recognisable,
        weighted.is_first_discounted,
        weighted.kept_orders >= 2 as is_repeat_customer,
        weighted.signup_date,
        weighted.first_order_date,
        weighted.last_order_date,
        -- only who has shown a rhythm of their own
        case
            when weighted.order_days >= 3
                then cast({{ dbt.dateadd('day', 'cast(weighted.median_gap_days as ' ~ dbt.type_int() ~ ')', 'weighted.last_order_date') }} as date)
        end as expected_next_order_date,
        weighted.as_of_date
    from weighted
    left join strategies
        on weighted.rfm_segment = strategies.rfm_segment

)

select * from final
