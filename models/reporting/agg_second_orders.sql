-- One row per monthly cohort and horizon: who of those old enough came back for a second order in time.
--
-- Orders whose goods all came back are no purchases here. The horizon 0 has no limit: its rate is the
-- repeat purchase rate.
{% set horizons = [30, 60, 90, 365] %}

with

orders as (

    select * from {{ ref('fct_customer_orders') }}
    where
        is_kept
        and order_date <= {{ as_of_date() }}

),

as_of as (

    select {{ as_of_date() }} as as_of_date

),

people as (

    select
        customer_key,
        min(order_date) as first_kept_date,
        min(case when kept_order_seq = 2 then order_date end) as second_kept_date
    from orders
    group by customer_key

),

horizons as (

    select 0 as horizon_days
    {%- for days in horizons %}
    union all
    select {{ days }} as horizon_days
    {%- endfor %}

),

matured as (

    select
        cast({{ dbt.date_trunc('month', 'people.first_kept_date') }} as date) as cohort_start_date,
        horizons.horizon_days,
        horizons.horizon_days = 0
        or {{ dbt.datediff('people.first_kept_date', 'as_of.as_of_date', 'day') }} >= horizons.horizon_days as is_mature,
        people.second_kept_date is not null
        and (
            horizons.horizon_days = 0
            or {{ dbt.datediff('people.first_kept_date', 'people.second_kept_date', 'day') }} <= horizons.horizon_days
        ) as has_second_order
    from people
    cross join as_of
    cross join horizons

),

counted as (

    select
        cohort_start_date,
        horizon_days,
        count(*) as customers,
        count(case when is_mature then 1 end) as mature_customers,
        count(case when is_mature and has_second_order then 1 end) as second_order_customers
    from matured
    group by cohort_start_date, horizon_days

),

final as (

    select
        {{ surrogate_key(['cohort_start_date', 'horizon_days']) }} as cohort_horizon_key,
        cast(horizon_days as {{ dbt.type_int() }}) as horizon_days,
        cast(customers as {{ dbt.type_int() }}) as customers,
        cast(mature_customers as {{ dbt.type_int() }}) as mature_customers,
        cast(second_order_customers as {{ dbt.type_int() }}) as second_order_customers,
        cast(
            case
                when mature_customers > 0 then cast(second_order_customers as numeric(20, 6)) / mature_customers
            end as numeric(9, 6)
        ) as second_order_rate,
        mature_customers = customers as is_complete,
        cohort_start_date
    from counted

)

select * from final
