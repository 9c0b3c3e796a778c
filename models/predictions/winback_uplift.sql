-- One row per win-back campaign whose time is over: what those who were to be contacted did more than those
-- left alone.
--
-- By intention: whoever was listed counts in their group, contacted or not, so that chance alone decided who is
-- in which. A customer listed on several days of a campaign counts from the first on, until the next campaign's
-- first list: from then on those left alone may be written to.
--
-- Rates by Agresti and Caffo (2000, The American Statistician 54): one more who came back and one more who
-- didn't in each group, or a group of one would be sure of itself.
{% set z = 1.96 %}
{% set least_people = 30 %}
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

dated as (

    select
        campaign,
        min(listed_date) as first_listed_date,
        {{ dbt.dateadd('day', 'max(horizon_days)', 'max(listed_date)') }} as last_date
    from people
    group by campaign

),

followed as (

    select
        campaign,
        last_date,
        lead(first_listed_date) over (order by first_listed_date asc nulls last, campaign asc) as next_listed_date
    from dated

),

-- a campaign is over when the last one listed has had their time
campaigns as (

    select
        campaign,
        next_listed_date
    from followed
    where
        last_date <= {{ as_of_date() }}
        or next_listed_date <= {{ as_of_date() }}

),

outcomes as (

    select
        people.campaign,
        people.customer_key,
        people.held_out,
        people.listed_date,
        max(people.margin_share) as margin_share,
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
            and coalesce(campaigns.next_listed_date, customer_days.activity_date) >= customer_days.activity_date
    group by people.campaign, people.customer_key, people.held_out, people.listed_date

),

counted as (

    select
        campaign,
        min(listed_date) as first_listed_date,
        sum(1 - held_out) as treated,
        sum(held_out) as held_out,
        -- 1 for everybody where costs are unknown: what they spend is no margin
        min(margin_share) < 1 as has_margins,
        avg(case when held_out = 0 then cast(came_back as numeric(20, 6)) end) as treated_return_rate,
        avg(case when held_out = 1 then cast(came_back as numeric(20, 6)) end) as held_out_return_rate,
        (sum(case when held_out = 0 then came_back else 0 end) + 1.0) / (sum(1 - held_out) + 2) as treated_drawn_rate,
        (sum(case when held_out = 1 then came_back else 0 end) + 1.0) / (sum(held_out) + 2) as held_out_drawn_rate,
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
        case when treated > 0 and held_out > 0 then treated_drawn_rate - held_out_drawn_rate end as drawn_uplift,
        sqrt(
            treated_drawn_rate * (1 - treated_drawn_rate) / (treated + 2)
            + held_out_drawn_rate * (1 - held_out_drawn_rate) / (held_out + 2)
        ) as return_error,
        case when has_margins then treated_margin_amount - held_out_margin_amount end as margin_uplift,
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
        cast(drawn_uplift - {{ z }} * return_error as {{ dbt.type_float() }}) as return_uplift_low,
        cast(drawn_uplift + {{ z }} * return_error as {{ dbt.type_float() }}) as return_uplift_high,
        cast(margin_uplift as {{ type_money() }}) as margin_uplift_amount,
        cast(margin_uplift - {{ z }} * margin_error as {{ type_money() }}) as margin_uplift_low_amount,
        cast(margin_uplift + {{ z }} * margin_error as {{ type_money() }}) as margin_uplift_high_amount,
        cast(margin_uplift * treated as {{ type_money() }}) as total_margin_uplift_amount,
        coalesce(abs(drawn_uplift) > {{ z }} * return_error, false) as is_return_uplift_clear,
        -- of fewer people the error is a guess
        coalesce(
            abs(margin_uplift) > {{ z }} * margin_error
            and treated >= {{ least_people }}
            and held_out >= {{ least_people }},
            false
        ) as is_margin_uplift_clear,
        first_listed_date
    from compared

)

select * from final
