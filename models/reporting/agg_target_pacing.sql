-- One row per target whose period has begun: what is reached so far, against what should be by now.
--
-- Where the shop planned nothing for the shop or a store in the running week, month, quarter or year, the same
-- period of the year before stands in, marked as such: a reference, not a plan. The roll-ups that are read have
-- one row a day and member, so this is cheap to compute as a whole.
{% set metrics = ['total_sales', 'net_sales', 'demand', 'gross_profit', 'cm2', 'orders', 'units'] %}
{% set measure_columns = {'orders': 'orders', 'units': 'units'} %}
{% set weekday_window = 56 %}

with

targets as (

    select * from {{ ref('fct_targets') }}

),

daily as (

    select * from {{ ref('agg_daily_metrics') }}
    where is_complete

),

members as (

    select * from {{ ref('agg_sales_by_dimension') }}
    where dimension in ('country', 'category', 'sales_channel')

),

dates as (

    select * from {{ ref('dim_date') }}

),

wanted_scopes as (

    select distinct
        scope_type,
        scope_value
    from targets

),

scoped as (

    select
        'store' as scope_type,
        store_id as scope_value,
        metric_date,
        {% for metric in metrics -%}
        {{ measure_columns.get(metric, metric ~ '_amount') }} as {{ metric }}{{ ',' if not loop.last }}
        {% endfor %}
    from daily

    union all

    select
        'shop' as scope_type,
        '(all)' as scope_value,
        metric_date,
        {% for metric in metrics -%}
        sum({{ measure_columns.get(metric, metric ~ '_amount') }}) as {{ metric }}{{ ',' if not loop.last }}
        {% endfor %}
    from daily
    group by metric_date

    union all

    select
        members.dimension as scope_type,
        members.member as scope_value,
        members.sales_date as metric_date,
        {% for metric in metrics -%}
        members.{{ measure_columns.get(metric, metric ~ '_amount') }} as {{ metric }}{{ ',' if not loop.last }}
        {% endfor %}
    from members
    inner join wanted_scopes
        on
            members.dimension = wanted_scopes.scope_type
            and members.member = wanted_scopes.scope_value
    where members.sales_date <= {{ as_of_date() }}

),

values_by_day as (

    {% for metric in metrics -%}
    select
        '{{ metric }}' as metric_name,
        scope_type,
        scope_value,
        metric_date,
        {{ metric }} as metric_value
    from scoped
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

first_days as (

    select
        scope_type,
        scope_value,
        min(metric_date) as first_date
    from scoped
    group by scope_type, scope_value

),

running_periods as (

    {% for grain, back in [('week', 364), ('month', none), ('quarter', none), ('year', none)] -%}
    select
        '{{ grain }}' as period_grain,
        cast({{ dbt.date_trunc(grain, as_of_date()) }} as date) as period_start_date,
        cast({{ dbt.dateadd('day', -1, dbt.dateadd(
            'month' if grain == 'quarter' else grain, 3 if grain == 'quarter' else 1, dbt.date_trunc(grain, as_of_date())
        )) }} as date) as period_end_date,
        {% if back -%}
        cast({{ dbt.dateadd('day', -back, dbt.date_trunc(grain, as_of_date())) }} as date) as base_start_date,
        cast({{ dbt.dateadd('day', 6 - back, dbt.date_trunc(grain, as_of_date())) }} as date) as base_end_date
        {%- else -%}
        cast({{ dbt.dateadd('year', -1, dbt.date_trunc(grain, as_of_date())) }} as date) as base_start_date,
        cast({{ dbt.dateadd('day', -1, dbt.dateadd('year', -1, dbt.dateadd(
            'month' if grain == 'quarter' else grain, 3 if grain == 'quarter' else 1, dbt.date_trunc(grain, as_of_date())
        ))) }} as date) as base_end_date
        {%- endif %}
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

-- the year before, where all of it is in the data
unplanned as (

    select
        values_by_day.metric_name,
        running_periods.period_grain,
        values_by_day.scope_type,
        values_by_day.scope_value,
        running_periods.period_start_date,
        running_periods.period_end_date,
        sum(values_by_day.metric_value) as target_value,
        sum(
            case
                when
                    {{ dbt.datediff('running_periods.base_start_date', 'values_by_day.metric_date', 'day') }}
                    <= {{ dbt.datediff('running_periods.period_start_date', as_of_date(), 'day') }}
                    then values_by_day.metric_value
                else 0
            end
        ) as target_to_date
    from running_periods
    inner join values_by_day
        on
            values_by_day.metric_date >= running_periods.base_start_date
            and values_by_day.metric_date <= running_periods.base_end_date
    inner join first_days
        on
            values_by_day.scope_type = first_days.scope_type
            and values_by_day.scope_value = first_days.scope_value
            and first_days.first_date <= running_periods.base_start_date
    left join targets
        on
            values_by_day.metric_name = targets.metric_name
            and running_periods.period_grain = targets.period_grain
            and running_periods.period_start_date = targets.period_start_date
            and values_by_day.scope_type = targets.scope_type
            and values_by_day.scope_value = targets.scope_value
    where
        targets.target_key is null
        and values_by_day.scope_type in ('shop', 'store')
    group by
        values_by_day.metric_name,
        running_periods.period_grain,
        values_by_day.scope_type,
        values_by_day.scope_value,
        running_periods.period_start_date,
        running_periods.period_end_date

),

paced as (

    select
        metric_name,
        period_grain,
        scope_type,
        scope_value,
        'plan' as target_source,
        target_value,
        cast(null as numeric(20, 4)) as target_to_date,
        period_start_date,
        period_end_date
    from targets
    where period_start_date <= {{ as_of_date() }}

    union all

    select
        metric_name,
        period_grain,
        scope_type,
        scope_value,
        'prior_year' as target_source,
        target_value,
        target_to_date,
        period_start_date,
        period_end_date
    from unplanned
    where target_value > 0

),

elapsed as (

    select
        *,
        {{ dbt.datediff('period_start_date', 'period_end_date', 'day') }} + 1 as days_in_period,
        {{ dbt.datediff('period_start_date', 'least(period_end_date, ' ~ as_of_date() ~ ')', 'day') }} + 1 as elapsed_days
    from paced

),

reached as (

    select
        elapsed.metric_name,
        elapsed.period_grain,
        elapsed.scope_type,
        elapsed.scope_value,
        elapsed.period_start_date,
        coalesce(sum(values_by_day.metric_value), 0) as actual_to_date
    from elapsed
    left join values_by_day
        on
            elapsed.metric_name = values_by_day.metric_name
            and elapsed.scope_type = values_by_day.scope_type
            and elapsed.scope_value = values_by_day.scope_value
            and values_by_day.metric_date >= elapsed.period_start_date
            and values_by_day.metric_date <= elapsed.period_end_date
    group by
        elapsed.metric_name,
        elapsed.period_grain,
        elapsed.scope_type,
        elapsed.scope_value,
        elapsed.period_start_date

),

-- what a weekday brought lately, days without sales counted in
weekday_means as (

    select
        values_by_day.metric_name,
        values_by_day.scope_type,
        values_by_day.scope_value,
        dates.iso_day_of_week,
        sum(values_by_day.metric_value) / {{ weekday_window // 7 }} as mean_value
    from values_by_day
    inner join dates
        on values_by_day.metric_date = dates.date_day
    where values_by_day.metric_date > {{ dbt.dateadd('day', -weekday_window, as_of_date()) }}
    group by
        values_by_day.metric_name,
        values_by_day.scope_type,
        values_by_day.scope_value,
        dates.iso_day_of_week

),

still_to_come as (

    select
        elapsed.metric_name,
        elapsed.period_grain,
        elapsed.scope_type,
        elapsed.scope_value,
        elapsed.period_start_date,
        sum(weekday_means.mean_value) as expected_value
    from elapsed
    inner join dates
        on
            dates.date_day > {{ as_of_date() }}
            and dates.date_day <= elapsed.period_end_date
    inner join weekday_means
        on
            elapsed.metric_name = weekday_means.metric_name
            and elapsed.scope_type = weekday_means.scope_type
            and elapsed.scope_value = weekday_means.scope_value
            and dates.iso_day_of_week = weekday_means.iso_day_of_week
    group by
        elapsed.metric_name,
        elapsed.period_grain,
        elapsed.scope_type,
        elapsed.scope_value,
        elapsed.period_start_date

),

-- a forecast needs the whole window of weekdays
combined as (

    select
        elapsed.metric_name,
        elapsed.period_grain,
        elapsed.scope_type,
        elapsed.scope_value,
        elapsed.target_source,
        elapsed.target_value,
        coalesce(
            elapsed.target_to_date,
            elapsed.target_value * elapsed.elapsed_days / cast(elapsed.days_in_period as numeric(20, 4))
        ) as target_to_date,
        reached.actual_to_date,
        case
            when elapsed.elapsed_days = elapsed.days_in_period then reached.actual_to_date
            when {{ dbt.datediff('first_days.first_date', as_of_date(), 'day') }} >= {{ weekday_window - 1 }}
                then reached.actual_to_date + coalesce(still_to_come.expected_value, 0)
        end as forecast_value,
        elapsed.days_in_period,
        elapsed.elapsed_days,
        elapsed.period_start_date,
        elapsed.period_end_date
    from elapsed
    inner join reached
        on
            elapsed.metric_name = reached.metric_name
            and elapsed.period_grain = reached.period_grain
            and elapsed.scope_type = reached.scope_type
            and elapsed.scope_value = reached.scope_value
            and elapsed.period_start_date = reached.period_start_date
    left join first_days
        on
            elapsed.scope_type = first_days.scope_type
            and elapsed.scope_value = first_days.scope_value
    left join still_to_come
        on
            elapsed.metric_name = still_to_come.metric_name
            and elapsed.period_grain = still_to_come.period_grain
            and elapsed.scope_type = still_to_come.scope_type
            and elapsed.scope_value = still_to_come.scope_value
            and elapsed.period_start_date = still_to_come.period_start_date

),

final as (

    select
        {{ surrogate_key(['metric_name', 'period_grain', 'scope_type', 'scope_value', 'period_start_date']) }}
            as pacing_key,
        metric_name,
        period_grain,
        scope_type,
        scope_value,
        target_source,
        cast(target_value as {{ type_money() }}) as target_value,
        cast(target_to_date as {{ type_money() }}) as target_to_date,
        cast(actual_to_date as {{ type_money() }}) as actual_to_date,
        cast(actual_to_date - target_to_date as {{ type_money() }}) as variance_value,
        cast(forecast_value as {{ type_money() }}) as forecast_value,
        cast(case when target_to_date > 0 then actual_to_date / target_to_date end as numeric(20, 6)) as pacing,
        cast(case when target_value > 0 then actual_to_date / target_value end as numeric(20, 6)) as attainment,
        cast(case when target_value > 0 then forecast_value / target_value end as numeric(20, 6)) as forecast_attainment,
        cast(days_in_period as {{ dbt.type_int() }}) as days_in_period,
        cast(elapsed_days as {{ dbt.type_int() }}) as elapsed_days,
        elapsed_days = days_in_period as is_period_over,
        period_start_date,
        period_end_date
    from combined

)

select * from final
