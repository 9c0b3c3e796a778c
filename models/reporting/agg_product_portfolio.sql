-- One row per product and month that is over: its place in the portfolio, over the last two years.
--
-- Ranks run over all products, so the table is made anew from monthly and weekly roll-ups, and only for as
-- many months as the var says: its cost does not grow with history. Definitions are in docs/DECISIONS.md.
{% set months_kept = var('portfolio_months', 24) %}
{% set basis = var('portfolio_basis', 'net_sales_amount') %}
{% set abc_months = var('abc_months', 12) %}
{% set bcg_months = var('bcg_months', 3) %}
{% set xyz_weeks = var('xyz_weeks', 26) %}

with

months as (

    select
        *,
        net_sales_amount - cogs_amount as gross_profit_amount
    from {{ ref('agg_product_months') }}

),

weeks as (

    select
        *,
        cast({{ dbt.dateadd('day', 6, 'week_start_date') }} as date) as week_end_date
    from {{ ref('agg_product_weeks') }}
    where is_complete

),

products as (

    select * from {{ ref('dim_products') }}
    where
        is_merchandise
        and product_id is not null

),

dates as (

    select distinct
        month_start_date,
        cast({{ dbt.dateadd('day', -1, dbt.dateadd('month', 1, 'month_start_date')) }} as date) as period_end
    from {{ ref('dim_date') }}

),

first_months as (

    select
        product_id,
        min(month_start_date) as first_month
    from months
    where units > 0
    group by product_id

),

data_range as (

    select min(first_month) as first_month
    from first_months

),

described as (

    select
        products.product_id,
        min(products.product_name) as product_name,
        min(products.category) as category,
        -- what was sold before it was launched was on sale before
        min(least(
            coalesce(products.launched_date, first_months.first_month),
            coalesce(first_months.first_month, products.launched_date)
        )) as first_date,
        max(case when products.status = 'active' and not products.is_deleted then 1 else 0 end) as active_count
    from products
    left join first_months
        on products.product_id = first_months.product_id
    group by products.product_id

),

periods as (

    select
        dates.month_start_date,
        dates.period_end,
        -- the comparison needs the months of the year before in full
        data_range.first_month
        <= {{ dbt.dateadd('month', 1 - bcg_months - 12, 'dates.month_start_date') }} as has_prior_year
    from dates
    cross join data_range
    where
        dates.period_end <= {{ as_of_date() }}
        and dates.month_start_date > {{ dbt.dateadd('month', -months_kept - 1, as_of_date()) }}
        and dates.month_start_date >= data_range.first_month

),

on_sale as (

    select
        described.product_id,
        described.product_name,
        described.category,
        described.first_date,
        described.active_count,
        periods.month_start_date,
        periods.period_end,
        periods.has_prior_year
    from described
    inner join periods
        on described.first_date <= periods.period_end

),

-- the months with sales and, with nothing, those that are shown: each of these has its windows' sums
month_rows as (

    select
        product_id,
        month_start_date,
        {{ basis }} as basis_amount,
        net_sales_amount,
        units,
        false as is_shown
    from months

    union all

    select
        product_id,
        month_start_date,
        0 as basis_amount,
        0 as net_sales_amount,
        0 as units,
        true as is_shown
    from on_sale

),

numbered_months as (

    select
        *,
        cast(
            extract(year from month_start_date) * 12 + extract(month from month_start_date) as {{ dbt.type_int() }}
        ) as month_number
    from month_rows

),

summed as (

    select
        product_id,
        month_start_date,
        is_shown,
        {% for name, amount, first, last in [
            ('abc_revenue', 'basis_amount', abc_months - 1, 0),
            ('abc_units', 'units', abc_months - 1, 0),
            ('bcg_revenue', 'basis_amount', bcg_months - 1, 0),
            ('bcg_units', 'units', bcg_months - 1, 0),
            ('bcg_prior_revenue', 'basis_amount', bcg_months + 11, 12),
            ('net_sales_amount', 'net_sales_amount', 0, 0),
            ('units', 'units', 0, 0),
        ] -%}
        sum({{ amount }}) over (
            partition by product_id order by month_number asc nulls last
            range between {{ first }} preceding and {{ last }} preceding
        ) as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from numbered_months

),

-- weeks without a row had stock and no demand: they count with 0, which adds nothing to the sums
week_rows as (

    select
        weeks.product_id,
        weeks.week_end_date as last_date,
        weeks.corrected_units,
        weeks.is_censored,
        cast(null as date) as month_start_date
    from weeks
    inner join described
        on
            weeks.product_id = described.product_id
            and weeks.week_start_date >= described.first_date

    union all

    select
        product_id,
        period_end as last_date,
        cast(null as {{ type_money() }}) as corrected_units,
        false as is_censored,
        month_start_date
    from on_sale

),

numbered_weeks as (

    select
        *,
        corrected_units * corrected_units as demand_square,
        case when corrected_units > 0 then 1 end as demand_week,
        case when is_censored then 1 end as censored_week,
        {{ dbt.datediff("cast('1900-01-01' as date)", 'last_date', 'day') }} as day_number
    from week_rows

),

demand as (

    select
        product_id,
        month_start_date,
        {% for name, aggregate in [
            ('demand_sum', 'sum(corrected_units)'), ('demand_square_sum', 'sum(demand_square)'),
            ('demand_weeks', 'count(demand_week)'), ('censored_weeks', 'count(censored_week)'),
        ] -%}
        {{ aggregate }} over (
            partition by product_id order by day_number asc nulls last
            range between {{ 7 * xyz_weeks - 1 }} preceding and current row
        ) as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from numbered_weeks

),

weighed as (

    select
        on_sale.*,
        coalesce(summed.net_sales_amount, 0) as net_sales_amount,
        coalesce(summed.units, 0) as units,
        coalesce(summed.abc_revenue, 0) as abc_revenue,
        coalesce(summed.bcg_revenue, 0) as bcg_revenue,
        coalesce(summed.bcg_units, 0) as bcg_units,
        coalesce(summed.bcg_prior_revenue, 0) as bcg_prior_revenue,
        coalesce(demand.demand_sum, 0) as demand_sum,
        coalesce(demand.demand_square_sum, 0) as demand_square_sum,
        coalesce(demand.demand_weeks, 0) as demand_weeks,
        coalesce(demand.censored_weeks, 0) as censored_weeks,
        {{ dbt.datediff('on_sale.first_date', 'on_sale.period_end', 'day') }} + 1 as days_on_sale,
        -- whole ISO weeks between the first day on sale and the end of the month, at most the window
        least(
            {{ xyz_weeks }},
            greatest(
                0,
                {{ dbt.datediff(
                    'cast(' ~ dbt.date_trunc('week', dbt.dateadd('day', 6, 'on_sale.first_date')) ~ ' as date)',
                    'cast(' ~ dbt.date_trunc('week', dbt.dateadd('day', 1, 'on_sale.period_end')) ~ ' as date)',
                    'day'
                ) }} / 7.0
            )
        ) - coalesce(demand.censored_weeks, 0) as weeks_counted
    from on_sale
    left join summed
        on
            on_sale.product_id = summed.product_id
            and on_sale.month_start_date = summed.month_start_date
            and summed.is_shown
    left join demand
        on
            on_sale.product_id = demand.product_id
            and on_sale.month_start_date = demand.month_start_date
    -- what is off the shelf and sells no more is in no portfolio
    where
        on_sale.active_count > 0
        or summed.abc_units > 0

),

ranked as (

    select
        *,
        sum(greatest(abc_revenue, 0)) over (partition by month_start_date) as abc_total,
        coalesce(sum(greatest(abc_revenue, 0)) over (
            partition by month_start_date
            order by abc_revenue desc nulls last, product_id asc
            rows between unbounded preceding and 1 preceding
        ), 0) as abc_before,
        row_number() over (
            partition by month_start_date
            order by abc_revenue desc nulls last, product_id asc
        ) as revenue_rank,
        sum(greatest(abc_revenue, 0)) over (partition by month_start_date, category) as category_total,
        sum(bcg_revenue) over (partition by month_start_date, category) as category_revenue,
        sum(bcg_prior_revenue) over (partition by month_start_date, category) as category_prior_revenue,
        row_number() over (
            partition by month_start_date, category
            order by bcg_revenue desc nulls last, product_id asc
        ) as category_rank
    from weighed

),

leaders as (

    select
        month_start_date,
        category,
        max(case when category_rank = 1 then bcg_revenue end) as best_revenue,
        max(case when category_rank = 2 then bcg_revenue end) as second_revenue
    from ranked
    where category_rank <= 2
    group by month_start_date, category

),

-- relative share: against the best other product, as nobody sees the market
compared as (

    select
        ranked.*,
        case when ranked.category_rank = 1 then leaders.second_revenue else leaders.best_revenue end as rival_revenue,
        case
            when ranked.bcg_prior_revenue > 0 then ranked.bcg_revenue / ranked.bcg_prior_revenue - 1
        end as growth,
        case
            when ranked.category_prior_revenue > 0 then ranked.category_revenue / ranked.category_prior_revenue - 1
        end as category_growth
    from ranked
    inner join leaders
        on
            ranked.month_start_date = leaders.month_start_date
            and ranked.category = leaders.category

),

shared as (

    select
        *,
        case when rival_revenue > 0 then bcg_revenue / rival_revenue end as relative_share
    from compared

),

medians as (

    select
        month_start_date,
        category,
        percentile_cont(0.5) within group (order by relative_share) as median_relative_share
    from shared
    where
        relative_share is not null
        and bcg_revenue > 0
    group by month_start_date, category

),

measured as (

    select
        shared.*,
        cast(medians.median_relative_share as numeric(20, 6)) as median_relative_share,
        case when shared.weeks_counted > 0 then shared.demand_sum / shared.weeks_counted end as mean_weekly_demand,
        case
            when shared.weeks_counted > 0 and shared.demand_sum > 0
                then
                    sqrt(greatest(
                        shared.demand_square_sum / shared.weeks_counted
                        - (shared.demand_sum / shared.weeks_counted) * (shared.demand_sum / shared.weeks_counted),
                        0
                    )) / (shared.demand_sum / shared.weeks_counted)
        end as demand_cv,
        case when shared.demand_weeks > 0 then shared.weeks_counted / shared.demand_weeks end as demand_interval,
        case
            when shared.demand_weeks > 0 and shared.demand_sum > 0
                then
                    greatest(
                        shared.demand_square_sum / shared.demand_weeks
                        - (shared.demand_sum / shared.demand_weeks) * (shared.demand_sum / shared.demand_weeks),
                        0
                    ) / ((shared.demand_sum / shared.demand_weeks) * (shared.demand_sum / shared.demand_weeks))
        end as demand_size_cv2
    from shared
    left join medians
        on
            shared.month_start_date = medians.month_start_date
            and shared.category = medians.category

),

classed as (

    select
        *,
        case
            when abc_total <= 0 or abc_revenue <= 0 then 'C'
            when abc_before < {{ var('abc_a_share', 0.80) }} * abc_total then 'A'
            when abc_before < {{ var('abc_b_share', 0.95) }} * abc_total then 'B'
            else 'C'
        end as abc_class,
        case
            when weeks_counted < {{ var('xyz_least_weeks', 8) }} then null
            when demand_cv < {{ var('xyz_x_cv', 0.5) }} then 'X'
            when demand_cv <= {{ var('xyz_y_cv', 1.0) }} then 'Y'
            when demand_cv is not null then 'Z'
        end as xyz_class,
        case
            when weeks_counted < {{ var('xyz_least_weeks', 8) }} then 'too little data'
            when demand_sum = 0 then 'no demand'
            when
                demand_interval < {{ var('pattern_adi', 1.32) }}
                and demand_size_cv2 < {{ var('pattern_cv2', 0.49) }} then 'smooth'
            when demand_size_cv2 < {{ var('pattern_cv2', 0.49) }} then 'intermittent'
            when demand_interval < {{ var('pattern_adi', 1.32) }} then 'erratic'
            else 'lumpy'
        end as demand_pattern,
        case
            when days_on_sale < {{ var('bcg_new_days', 180) }} then 'New'
            when
                bcg_units < {{ var('bcg_least_units', 10) }}
                or not has_prior_year
                or growth is null
                or category_growth is null then 'Too little data'
            when coalesce(relative_share >= median_relative_share, true) and growth > category_growth then 'Star'
            when coalesce(relative_share >= median_relative_share, true) then 'Cash Cow'
            when growth > category_growth then 'Question Mark'
            else 'Dog'
        end as bcg_quadrant
    from measured

),

final as (

    select
        {{ surrogate_key(['product_id', 'month_start_date']) }} as product_month_key,
        product_id,
        product_name,
        category,
        bcg_quadrant,
        abc_class,
        xyz_class,
        demand_pattern,
        case
            when active_count = 0 then 'sell_off'
            when bcg_quadrant = 'New' then 'watch_launch'
            when bcg_quadrant = 'Too little data' and abc_class = 'C' then 'review'
            when bcg_quadrant = 'Too little data' then 'keep'
            when bcg_quadrant = 'Star' then 'invest'
            when bcg_quadrant = 'Cash Cow' then 'defend_margin'
            when bcg_quadrant = 'Question Mark' and abc_class = 'C' then 'test_promotion'
            when bcg_quadrant = 'Question Mark' then 'promote'
            when abc_class = 'C' then 'phase_out'
            else 'reprice_or_bundle'
        end as suggested_action,
        cast(revenue_rank as {{ dbt.type_int() }}) as revenue_rank,
        cast(days_on_sale as {{ dbt.type_int() }}) as days_on_sale,
        cast(units as {{ type_money() }}) as units,
        cast(net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(abc_revenue as {{ type_money() }}) as abc_amount,
        cast(case when abc_total > 0 then greatest(abc_revenue, 0) / abc_total end as numeric(20, 6)) as revenue_share,
        cast(
            case when category_total > 0 then greatest(abc_revenue, 0) / category_total end as numeric(20, 6)
        ) as category_revenue_share,
        cast(case when abc_total > 0 then abc_before / abc_total end as numeric(20, 6)) as cumulative_share_before,
        cast(bcg_revenue as {{ type_money() }}) as bcg_amount,
        cast(bcg_prior_revenue as {{ type_money() }}) as bcg_prior_year_amount,
        cast(relative_share as numeric(20, 6)) as relative_share,
        median_relative_share,
        cast(growth as numeric(20, 6)) as growth,
        cast(category_growth as numeric(20, 6)) as category_growth,
        cast(weeks_counted as {{ dbt.type_int() }}) as demand_weeks_counted,
        cast(censored_weeks as {{ dbt.type_int() }}) as demand_weeks_censored,
        cast(mean_weekly_demand as {{ type_money() }}) as mean_weekly_demand,
        cast(demand_cv as numeric(20, 6)) as demand_cv,
        cast(demand_interval as numeric(20, 6)) as demand_interval,
        cast(demand_size_cv2 as numeric(20, 6)) as demand_size_cv2,
        active_count > 0 as is_active,
        month_start_date = max(month_start_date) over () as is_latest,
        month_start_date
    from classed

)

select * from final
