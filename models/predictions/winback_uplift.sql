-- One row per win-back campaign whose time is over: what those who were to be contacted did more than those
-- left alone.
--
-- By intention: whoever was listed counts in their group, contacted or not, so that chance alone decided who is
-- in which. A customer listed on several days of a campaign counts from the first on.
{% set z = 1.96 %}
with

listed as (

    select * from {{ source('ml', 'winback') }}

),

customer_days as (

    select * from {{ ref('customer_days') }}

),

people as (

    select
        campaign,
        customer_key,
        min(listed_on) as listed_date,
        max(horizon_days) as horizon_days,
        max(margin_share) as margin_share,
        max(case when is_holdout then 1 else 0 end) as held_out
    from listed
    group by campaign, customer_key

),

-- a campaign is over when the last one listed has had their time
campaigns as (

    select campaign
    from people
    group by campaign
    having {{ dbt.dateadd('day', 'max(horizon_days)', 'max(listed_date)') }} <= {{ as_of_date() }}

),

outcomes as (

    select
        people.campaign,
        people.customer_key,
        people.held_out,
        people.listed_date,
        max(case when customer_days.has_order then 1 else 0 end) as came_back,
        coalesce(sum(customer_days.demand_amount - customer_days.returns_amount), 0) * max(people.margin_share)
            as margin_amount
    from people
    inner join campaigns
        on people.campaign = campaigns.campaign
    left join customer_days
        on
            people.customer_key = customer_days.customer_key
            and people.listed_date < customer_days.activity_date
            and {{ dbt.dateadd('day', 'people.horizon_days', 'people.listed_date') }} >= customer_days.activity_date
    group by people.campaign, people.customer_key, people.held_out, people.listed_date

),

counted as (

    select
        campaign,
        min(listed_date) as first_listed_date,
        sum(1 - held_out) as treated,
        sum(held_out) as held_out,
        avg(case when held_out = 0 then cast(came_back as numeric(20, 6)) end) as treated_return_rate,
        avg(case when held_out = 1 then cast(came_back as numeric(20, 6)) end) as held_out_return_rate,
        avg(case when held_out = 0 then margin_amount end) as treated_margin_amount,
        avg(case when held_out = 1 then margin_amount end) as held_out_margin_amount,
        var_samp(case when held_out = 0 then margin_amount end) as treated_variance,
        var_samp(case when held_out = 1 then margin_amount end) as held_out_variance
    from outcomes
    group by campaign

),

compared as (

    select
        counted.*,
        treated_return_rate - held_out_return_rate as return_uplift,
        sqrt(
            treated_return_rate * (1 - treated_return_rate) / nullif(treated, 0)
            + held_out_return_rate * (1 - held_out_return_rate) / nullif(held_out, 0)
        ) as return_error,
        treated_margin_amount - held_out_margin_amount as margin_uplift,
        sqrt(treated_variance / nullif(treated, 0) + held_out_variance / nullif(held_out, 0)) as margin_error
    from counted

),

final as (

    select
        campaign,
        cast(treated as {{ dbt.type_int() }}) as treated_customers,
        cast(held_out as {{ dbt.type_int() }}) as held_out_customers,
        cast(treated_return_rate as {{ dbt.type_float() }}) as treated_return_rate,
        cast(held_out_return_rate as {{ dbt.type_float() }}) as held_out_return_rate,
        cast(return_uplift as {{ dbt.type_float() }}) as return_uplift,
        cast(return_uplift - {{ z }} * return_error as {{ dbt.type_float() }}) as return_uplift_low,
        cast(return_uplift + {{ z }} * return_error as {{ dbt.type_float() }}) as return_uplift_high,
        cast(margin_uplift as {{ type_money() }}) as margin_uplift_amount,
        cast(margin_uplift - {{ z }} * margin_error as {{ type_money() }}) as margin_uplift_low_amount,
        cast(margin_uplift + {{ z }} * margin_error as {{ type_money() }}) as margin_uplift_high_amount,
        cast(margin_uplift * treated as {{ type_money() }}) as total_margin_uplift_amount,
        coalesce(abs(return_uplift) > {{ z }} * return_error, false) as is_return_uplift_clear,
        coalesce(abs(margin_uplift) > {{ z }} * margin_error, false) as is_margin_uplift_clear,
        first_listed_date
    from compared

)

select * from final
