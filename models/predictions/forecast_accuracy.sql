-- One row per series, dimension, member, model, grain and band of the horizon: past forecasts of days and
-- of months beside what came.
--
-- From the archive, in which every forecast stays as it was made; of several made on the state of one day,
-- the last. Days and whole months of the last year count, so that a model is judged by what it does now. The
-- model '(champion)' is what was shown, whichever model it came from.
{% set bands = [('day', 1, 7), ('day', 8, 30), ('day', 31, 90), ('month', 1, 90), ('month', 91, 400)] %}
{% set grains = [('day', 'metric_date'), ('month', dbt.date_trunc('month', 'metric_date'))] %}
{% set series = [
    ('revenue', 'total_sales_amount'),
    ('product_sales', 'product_sales_amount'),
    ('orders', 'orders'),
    ('profit', 'net_profit_amount'),
] %}
{% set key = ['series', 'dimension', 'member', 'model', 'grain', 'horizon_band'] %}
with

archive as (

    select * from {{ source('ml', 'forecast_archive') }}
    where grain in ('day', 'month')

),

daily as (

    select * from {{ ref('daily_sales') }}

),

members as (

    select * from {{ ref('daily_sales_members') }}

),

total_actuals as (

    {% for name, column in series -%}
    {% set is_last = loop.last -%}
    {% for grain, first_date in grains -%}
    select
        '{{ name }}' as series,
        '{{ grain }}' as grain,
        cast({{ first_date }} as date) as target_date,
        max(metric_date) as last_date,
        cast(sum({{ column }}) as {{ dbt.type_float() }}) as actual
    from daily
    group by cast({{ first_date }} as date)

    {{ 'union all' if not (is_last and loop.last) }}
    {% endfor %}
    {% endfor %}

),

member_actuals as (

    {% for name, column in series -%}
    {% set is_last = loop.last -%}
    {% for grain, first_date in grains -%}
    select
        '{{ name }}' as series,
        '{{ grain }}' as grain,
        dimension,
        member,
        cast({{ first_date }} as date) as target_date,
        cast(sum({{ column }}) as {{ dbt.type_float() }}) as actual
    from members
    group by
        dimension,
        member,
        cast({{ first_date }} as date)

    {{ 'union all' if not (is_last and loop.last) }}
    {% endfor %}
    {% endfor %}

),

last_day as (

    select max(metric_date) as metric_date
    from daily

),

runs as (

    select
        run_id,
        as_of_date,
        max(scored_at) as scored_at
    from archive
    group by run_id, as_of_date

),

ranked_runs as (

    select
        run_id,
        row_number() over (partition by as_of_date order by scored_at desc nulls last, run_id asc) as recency
    from runs

),

made as (

    select
        archive.*,
        total_actuals.actual as total_actual
    from archive
    inner join ranked_runs
        on
            archive.run_id = ranked_runs.run_id
            and ranked_runs.recency = 1
    -- days that have come, and months of which the last one has
    inner join total_actuals
        on
            archive.series = total_actuals.series
            and archive.grain = total_actuals.grain
            and archive.target_date = total_actuals.target_date
            and {{ dbt.dateadd('day', 'archive.horizon_days', 'archive.as_of_date') }} = total_actuals.last_date
    inner join last_day
        on archive.target_date > {{ dbt.dateadd('day', -365, 'last_day.metric_date') }}

),

matched as (

    select
        made.*,
        case
            when made.dimension = 'total' then made.total_actual
            -- a day without a row of a member is a day without anything of it
            else coalesce(member_actuals.actual, 0)
        end as own_actual
    from made
    left join member_actuals
        on
            made.series = member_actuals.series
            and made.grain = member_actuals.grain
            and made.dimension = member_actuals.dimension
            and made.member = member_actuals.member
            and made.target_date = member_actuals.target_date

),

-- the pooled rest is what the members of the same forecast leave of the total
named as (

    select
        run_id,
        series,
        dimension,
        grain,
        target_date,
        sum(own_actual) as named_actual
    from matched
    where
        dimension <> 'total'
        and member <> '(other)'
    group by run_id, series, dimension, grain, target_date

),

measured as (

    select
        matched.series,
        matched.dimension,
        matched.member,
        matched.model,
        matched.is_champion,
        matched.grain,
        case
            {% for grain, first, last in bands -%}
            when matched.grain = '{{ grain }}' and matched.horizon_days between {{ first }} and {{ last }}
                then '{{ first }}-{{ last }}'
            {% endfor -%}
        end as horizon_band,
        matched.as_of_date,
        matched.target_date,
        matched.is_closed,
        matched.yhat,
        matched.lo80,
        matched.hi80,
        matched.lo95,
        matched.hi95,
        case
            when matched.member = '(other)' then matched.total_actual - coalesce(named.named_actual, 0)
            else matched.own_actual
        end as actual
    from matched
    left join named
        on
            matched.run_id = named.run_id
            and matched.series = named.series
            and matched.dimension = named.dimension
            and matched.grain = named.grain
            and matched.target_date = named.target_date

),

shown as (

    select * from measured

    union all

    select
        series,
        dimension,
        member,
        '(champion)' as model,
        is_champion,
        grain,
        horizon_band,
        as_of_date,
        target_date,
        is_closed,
        yhat,
        lo80,
        hi80,
        lo95,
        hi95,
        actual
    from measured
    where is_champion

),

-- what the value a week before would have been off by, on the days that were forecast
days as (

    select
        series,
        dimension,
        member,
        target_date,
        max(actual) as actual
    from measured
    where grain = 'day'
    group by series, dimension, member, target_date

),

naive_scales as (

    select
        days.series,
        days.dimension,
        days.member,
        avg(abs(days.actual - week_before.actual)) as naive_error
    from days
    inner join days as week_before
        on
            days.series = week_before.series
            and days.dimension = week_before.dimension
            and days.member = week_before.member
            and {{ dbt.dateadd('day', -7, 'days.target_date') }} = week_before.target_date
    group by days.series, days.dimension, days.member

),

summed as (

    select
        {% for name in key -%}
        {{ name }},
        {% endfor -%}
        count(*) as periods,
        count(distinct as_of_date) as forecasts,
        min(target_date) as first_date,
        max(target_date) as last_date,
        sum(abs(yhat - actual)) as absolute_error,
        sum(yhat - actual) as error,
        sum((yhat - actual) * (yhat - actual)) as squared_error,
        sum(abs(actual)) as absolute_actual,
        sum(actual * actual) - sum(actual) * sum(actual) / count(*) as actual_variation,
        avg(case when actual > 0 then abs(yhat - actual) / actual end) as mape,
        {% for level, fine in [(80, 10), (95, 40)] -%}
        -- a closed day has an interval of nothing, which is no achievement
        avg(
            case
                when is_closed or lo{{ level }} is null then null
                when actual between lo{{ level }} and hi{{ level }} then 1
                else 0
            end
        ) as coverage_{{ level }},
        avg(
            case
                when not is_closed
                    then
                        hi{{ level }} - lo{{ level }}
                        + {{ fine }} * case when actual < lo{{ level }} then lo{{ level }} - actual else 0 end
                        + {{ fine }} * case when actual > hi{{ level }} then actual - hi{{ level }} else 0 end
            end
        ) as winkler_{{ level }}{{ ',' if not loop.last }}
        {% endfor %}
    from shown
    where horizon_band is not null
    group by {{ key | join(', ') }}

),

final as (

    select
        summed.series,
        summed.dimension,
        summed.member,
        summed.model,
        summed.grain,
        summed.horizon_band,
        case when summed.series <> 'orders' then {{ store_currency() }} end as currency,
        cast(summed.periods as {{ dbt.type_int() }}) as periods,
        cast(summed.forecasts as {{ dbt.type_int() }}) as forecasts,
        summed.absolute_error / summed.periods as mae,
        sqrt(summed.squared_error / summed.periods) as rmse,
        case
            -- rounding leaves a constant series a trace of variation
            when summed.actual_variation > 0.000001 * summed.absolute_actual
                then 1 - summed.squared_error / summed.actual_variation
        end as r2,
        summed.mape,
        case when summed.absolute_actual > 0 then summed.absolute_error / summed.absolute_actual end as wape,
        case
            when summed.grain = 'day' and naive_scales.naive_error > 0
                then summed.absolute_error / summed.periods / naive_scales.naive_error
        end as mase,
        case when summed.absolute_actual > 0 then summed.error / summed.absolute_actual end as bias,
        cast(summed.coverage_80 as {{ dbt.type_float() }}) as coverage_80,
        cast(summed.coverage_95 as {{ dbt.type_float() }}) as coverage_95,
        summed.winkler_80,
        summed.winkler_95,
        summed.first_date,
        summed.last_date
    from summed
    left join naive_scales
        on
            summed.series = naive_scales.series
            and summed.dimension = naive_scales.dimension
            and summed.member = naive_scales.member

)

select * from final
