-- One row per finding worth a sentence: the sentence, how grave it is, and the numbers that it rests on.
--
-- Built by rules from roll-ups, so the same data give the same words. A finding whose numbers are missing, or
-- whose base is not wholly in the data, is not made. `evidence_model` and `evidence_filter` say where each
-- number can be read again; a test does so.
{% set least_share = var('insight_least_share', 0.05) %}

with

growth as (

    select * from {{ ref('agg_period_growth') }}
    where
        store_id = '(all)'
        and growth_rate is not null

),

coverage as (

    select * from {{ ref('agg_period_growth') }}
    where
        store_id = '(all)'
        and metric_name = 'cost_coverage'
        and comparison = 'last_28_days_vs_prior'

),

drivers as (

    select * from {{ ref('agg_metric_drivers') }}

),

pacing as (

    select * from {{ ref('agg_target_pacing') }}

),

stock as (

    select * from {{ ref('agg_inventory_health') }}

),

second_orders as (

    select * from {{ ref('agg_second_orders') }}

),

-- the comparison that says most: whole months before running days, the year before ahead of the month before
headline as (

    select
        *,
        row_number() over (
            partition by metric_name
            order by
                case comparison
                    when 'last_month_vs_prior_year' then 1
                    when 'last_month_vs_prior_month' then 2
                    when 'last_28_days_vs_prior' then 3
                    else 4
                end asc
        ) as comparison_rank
    from growth
    where
        metric_name in ('total_sales', 'net_profit')
        and comparison in ('last_month_vs_prior_year', 'last_month_vs_prior_month', 'last_28_days_vs_prior', 'last_7_days_vs_prior')

),

order_effects as (

    select
        comparison,
        max(case when driver = 'orders' then effect_amount end) as orders_effect,
        max(case when driver = 'order_value' then effect_amount end) as order_value_effect
    from drivers
    where
        metric_name = 'total_sales'
        and decomposition = 'orders_value'
    group by comparison

),

profit_drivers as (

    select
        comparison,
        driver,
        effect_amount
    from drivers
    where
        metric_name = 'net_profit'
        and driver_rank = 1

),

movements as (

    select
        'sales_change' as insight_type,
        '(all)' as subject,
        case when headline.growth_rate <= -0.2 then 'critical' when headline.growth_rate <= -0.05 then 'warning' else 'info' end
            as severity,
        headline.growth_rate >= 0 as is_good,
        {{ dbt.concat([
            "'Total sales '", "case when headline.growth_rate < 0 then 'fell by ' else 'rose by ' end",
            number_text('100 * abs(headline.growth_rate)', 1), "' %'",
        ]) }} as title,
        {{ dbt.concat([
            "'From '", 'cast(headline.period_start_date as ' ~ dbt.type_string() ~ ')',
            "' to '", 'cast(headline.period_end_date as ' ~ dbt.type_string() ~ ')',
            "' total sales were '", number_text('headline.metric_value'), "' '", store_currency(),
            "', against '", number_text('headline.base_value'),
            "' from '", 'cast(headline.base_start_date as ' ~ dbt.type_string() ~ ')',
            "' to '", 'cast(headline.base_end_date as ' ~ dbt.type_string() ~ ')',
            "'. The number of orders accounts for '", number_text('order_effects.orders_effect', 0, true),
            "' of the change, their value for '", number_text('order_effects.order_value_effect', 0, true), "'.'",
        ]) }} as insight_text,
        'total_sales' as metric_name,
        headline.comparison,
        '(all)' as dimension,
        '(all)' as member,
        headline.metric_value,
        headline.base_value,
        headline.metric_value - headline.base_value as change_value,
        abs(headline.metric_value - headline.base_value) as impact_amount,
        'agg_period_growth' as evidence_model,
        {{ dbt.concat(["'store_id = ''(all)'' and metric_name = ''total_sales'' and comparison = '''", 'headline.comparison', "''''"]) }}
            as evidence_filter,
        'metric_value' as evidence_column,
        headline.period_start_date,
        headline.period_end_date
    from headline
    inner join order_effects
        on headline.comparison = order_effects.comparison
    where
        headline.metric_name = 'total_sales'
        and headline.comparison_rank = 1

    union all

    select
        'profit_change' as insight_type,
        '(all)' as subject,
        case when headline.growth_rate <= -0.2 then 'critical' when headline.growth_rate <= -0.05 then 'warning' else 'info' end
            as severity,
        headline.growth_rate >= 0 as is_good,
        {{ dbt.concat([
            "'Net profit '", "case when headline.growth_rate < 0 then 'fell by ' else 'rose by ' end",
            number_text('100 * abs(headline.growth_rate)', 1), "' %'",
        ]) }} as title,
        {{ dbt.concat([
            "'From '", 'cast(headline.period_start_date as ' ~ dbt.type_string() ~ ')',
            "' to '", 'cast(headline.period_end_date as ' ~ dbt.type_string() ~ ')',
            "' net profit was '", number_text('headline.metric_value'), "' '", store_currency(),
            "', against '", number_text('headline.base_value'),
            "' from '", 'cast(headline.base_start_date as ' ~ dbt.type_string() ~ ')',
            "' to '", 'cast(headline.base_end_date as ' ~ dbt.type_string() ~ ')',
            "'. The largest single effect is that of '", "replace(profit_drivers.driver, '_', ' ')",
            "': '", number_text('profit_drivers.effect_amount', 0, true), "'.'",
        ]) }} as insight_text,
        'net_profit' as metric_name,
        headline.comparison,
        '(all)' as dimension,
        '(all)' as member,
        headline.metric_value,
        headline.base_value,
        headline.metric_value - headline.base_value as change_value,
        abs(headline.metric_value - headline.base_value) as impact_amount,
        'agg_period_growth' as evidence_model,
        {{ dbt.concat(["'store_id = ''(all)'' and metric_name = ''net_profit'' and comparison = '''", 'headline.comparison', "''''"]) }}
            as evidence_filter,
        'metric_value' as evidence_column,
        headline.period_start_date,
        headline.period_end_date
    from headline
    inner join profit_drivers
        on headline.comparison = profit_drivers.comparison
    where
        headline.metric_name = 'net_profit'
        and headline.comparison_rank = 1

),

-- one driver a dimension, where it is large beside the whole
parts as (

    select
        *,
        row_number() over (
            partition by decomposition
            order by abs(effect_amount) desc nulls last, segment asc
        ) as part_rank
    from drivers
    where
        metric_name = 'total_sales'
        and comparison = 'last_28_days_vs_prior'
        and decomposition in ('country', 'category', 'marketing_channel', 'store')
        and is_base_complete
        and base_value > 0
        and segment not in ('(order)', 'unknown', 'Unknown')

),

part_movements as (

    select
        'driver' as insight_type,
        decomposition as subject,
        case when effect_amount <= -0.1 * base_value then 'warning' else 'info' end as severity,
        effect_amount >= 0 as is_good,
        {{ dbt.concat([
            "segment", "case when effect_amount < 0 then ' lost ' else ' gained ' end",
            number_text('abs(effect_amount)'), "' '", store_currency(),
        ]) }} as title,
        {{ dbt.concat([
            "'In the 28 days to '", 'cast(period_end_date as ' ~ dbt.type_string() ~ ')',
            "' the '", "replace(decomposition, '_', ' ')", "' '", 'segment', "' had total sales of '",
            number_text('driver_value'), "' '", store_currency(), "', against '", number_text('driver_base_value'),
            "' in the 28 days before: '", number_text('effect_amount', 0, true),
            "' of a change of '", number_text('change_value', 0, true), "' over all.'",
        ]) }} as insight_text,
        'total_sales' as metric_name,
        comparison,
        decomposition as dimension,
        segment as member,
        driver_value as metric_value,
        driver_base_value as base_value,
        effect_amount as change_value,
        abs(effect_amount) as impact_amount,
        'agg_metric_drivers' as evidence_model,
        {{ dbt.concat(["'driver_key = '''", 'driver_key', "''''"]) }} as evidence_filter,
        'driver_value' as evidence_column,
        period_start_date,
        period_end_date
    from parts
    where
        part_rank = 1
        and abs(effect_amount) >= {{ least_share }} * base_value

),

paced as (

    select
        *,
        row_number() over (
            partition by scope_type
            order by
                case target_source when 'plan' then 0 else 1 end asc,
                case period_grain when 'month' then 0 when 'quarter' then 1 when 'year' then 2 else 3 end asc,
                period_start_date desc nulls last,
                metric_name asc
        ) as pacing_rank
    from pacing
    where
        scope_type = 'shop'
        and metric_name = 'total_sales'
        and pacing is not null
        and period_end_date >= {{ as_of_date() }}
        -- a period that is over is compared with the year before by sales_change
        and (target_source = 'plan' or not is_period_over)

),

target_findings as (

    select
        'target' as insight_type,
        period_grain as subject,
        case when pacing < 0.8 then 'critical' when pacing < 0.95 then 'warning' else 'info' end as severity,
        pacing >= 1 as is_good,
        {{ dbt.concat([
            number_text('100 * pacing', 1),
            "case when target_source = 'plan' then ' % of the plan to date' else ' % of the same days a year before' end",
        ]) }} as title,
        {{ dbt.concat([
            "'After '", number_text('elapsed_days'), "' of '", number_text('days_in_period'), "' days the '", 'period_grain',
            "' from '", 'cast(period_start_date as ' ~ dbt.type_string() ~ ')', "' has total sales of '",
            number_text('actual_to_date'), "' '", store_currency(), "', against '", number_text('target_to_date'),
            "case when target_source = 'plan' then ' planned by now.' else ' in the same days of the year before; no plan was entered.' end",
        ]) }} as insight_text,
        metric_name,
        cast(null as {{ dbt.type_string() }}) as comparison,
        '(all)' as dimension,
        '(all)' as member,
        actual_to_date as metric_value,
        target_to_date as base_value,
        actual_to_date - target_to_date as change_value,
        abs(actual_to_date - target_to_date) as impact_amount,
        'agg_target_pacing' as evidence_model,
        {{ dbt.concat(["'pacing_key = '''", 'pacing_key', "''''"]) }} as evidence_filter,
        'actual_to_date' as evidence_column,
        period_start_date,
        period_end_date
    from paced
    where pacing_rank = 1

),

short_stock as (

    select
        count(*) as items,
        sum(coalesce(estimated_lost_amount, 0)) as lost_amount
    from stock
    where order_by_date <= {{ as_of_date() }}

),

stock_findings as (

    select
        'stock' as insight_type,
        '(all)' as subject,
        'warning' as severity,
        false as is_good,
        {{ dbt.concat([number_text('items'), "' items should have been ordered by now'"]) }} as title,
        {{ dbt.concat([
            "'At the end of '", 'cast(' ~ as_of_date() ~ ' as ' ~ dbt.type_string() ~ ')', "' '", number_text('items'),
            "' items (SKU and location) have passed the day on which they had to be ordered to arrive in time.'",
            "' Days without stock have cost them an estimated '", number_text('lost_amount'), "' '", store_currency(), "' of sales.'",
        ]) }} as insight_text,
        'items_to_order' as metric_name,
        cast(null as {{ dbt.type_string() }}) as comparison,
        '(all)' as dimension,
        '(all)' as member,
        cast(items as numeric(20, 4)) as metric_value,
        cast(null as numeric(20, 4)) as base_value,
        cast(null as numeric(20, 4)) as change_value,
        lost_amount as impact_amount,
        'agg_inventory_health' as evidence_model,
        {{ dbt.concat(["'order_by_date <= date '''", 'cast(' ~ as_of_date() ~ ' as ' ~ dbt.type_string() ~ ')', "''''"]) }} as evidence_filter,
        'count(*)' as evidence_column,
        {{ as_of_date() }} as period_start_date,
        {{ as_of_date() }} as period_end_date
    from short_stock
    where items > 0

),

-- the last three cohorts of which everybody is old enough, against the three before them
ranked_cohorts as (

    select
        *,
        row_number() over (order by cohort_start_date desc nulls last) as cohort_rank
    from second_orders
    where
        horizon_days = 90
        and is_complete
        and mature_customers > 0

),

cohort_rates as (

    select
        sum(case when cohort_rank <= 3 then second_order_customers else 0 end)
        / cast(nullif(sum(case when cohort_rank <= 3 then mature_customers else 0 end), 0) as numeric(20, 4)) as rate,
        sum(case when cohort_rank > 3 then second_order_customers else 0 end)
        / cast(nullif(sum(case when cohort_rank > 3 then mature_customers else 0 end), 0) as numeric(20, 4)) as base_rate,
        sum(case when cohort_rank <= 3 then mature_customers else 0 end) as customers,
        min(case when cohort_rank <= 3 then cohort_start_date end) as first_cohort_date,
        max(cohort_start_date) as last_cohort_date,
        min(cohort_start_date) as base_first_cohort_date,
        count(*) as cohorts
    from ranked_cohorts
    where cohort_rank <= 6

),

cohort_findings as (

    select
        'retention' as insight_type,
        '(all)' as subject,
        case when rate < 0.8 * base_rate then 'warning' else 'info' end as severity,
        rate >= base_rate as is_good,
        {{ dbt.concat([number_text('100 * rate', 1), "' % of new customers bought again within 90 days'"]) }} as title,
        {{ dbt.concat([
            "'Of the '", number_text('customers'), "' people who first bought in the three months from '",
            'cast(first_cohort_date as ' ~ dbt.type_string() ~ ')', "', '", number_text('100 * rate', 1),
            "' % kept a second order within 90 days, against '", number_text('100 * base_rate', 1),
            "' % of those of the three months before.'",
        ]) }} as insight_text,
        'second_order_rate' as metric_name,
        cast(null as {{ dbt.type_string() }}) as comparison,
        '(all)' as dimension,
        '(all)' as member,
        rate as metric_value,
        base_rate as base_value,
        rate - base_rate as change_value,
        0 as impact_amount,
        'agg_second_orders' as evidence_model,
        {{ dbt.concat([
            "'horizon_days = 90 and cohort_start_date between date '''", 'cast(first_cohort_date as ' ~ dbt.type_string() ~ ')',
            "''' and date '''", 'cast(last_cohort_date as ' ~ dbt.type_string() ~ ')', "''''",
        ]) }} as evidence_filter,
        'sum(second_order_customers) / cast(sum(mature_customers) as numeric(20, 4))' as evidence_column,
        first_cohort_date as period_start_date,
        last_cohort_date as period_end_date
    from cohort_rates
    where
        cohorts = 6
        and rate is not null
        and base_rate is not null

),

coverage_findings as (

    select
        'cost_coverage' as insight_type,
        '(all)' as subject,
        'warning' as severity,
        false as is_good,
        {{ dbt.concat(["'Costs are known for only '", number_text('100 * metric_value', 1), "' % of sales'"]) }} as title,
        {{ dbt.concat([
            "'In the 28 days to '", 'cast(period_end_date as ' ~ dbt.type_string() ~ ')', "' the unit cost is known for '",
            number_text('100 * metric_value', 1), "' % of sales. Profit is not told below '",
            number_text('100 * ' ~ var('least_cost_coverage')), "' %.'",
        ]) }} as insight_text,
        metric_name,
        comparison,
        '(all)' as dimension,
        '(all)' as member,
        metric_value,
        base_value,
        change_value,
        0 as impact_amount,
        'agg_period_growth' as evidence_model,
        {{ dbt.concat(["'growth_key = '''", 'growth_key', "''''"]) }} as evidence_filter,
        'metric_value' as evidence_column,
        period_start_date,
        period_end_date
    from coverage
    where metric_value < {{ var('least_cost_coverage') }}

),

findings as (

    select * from movements
    union all
    select * from part_movements
    union all
    select * from target_findings
    union all
    select * from stock_findings
    union all
    select * from cohort_findings
    union all
    select * from coverage_findings

),

weighed as (

    select
        *,
        case severity when 'critical' then 1 when 'warning' then 2 else 3 end as severity_rank,
        row_number() over (
            partition by insight_type
            order by
                case severity when 'critical' then 1 when 'warning' then 2 else 3 end asc,
                impact_amount desc nulls last,
                subject asc
        ) as type_rank
    from findings

),

ranked as (

    select
        *,
        -- the best of each type first, so that three insights tell three things
        row_number() over (
            order by type_rank asc, severity_rank asc, impact_amount desc nulls last, insight_type asc, subject asc
        ) as insight_rank
    from weighed

),

final as (

    select
        {{ surrogate_key(['insight_type', 'subject']) }} as insight_key,
        insight_type,
        severity,
        title,
        insight_text,
        metric_name,
        comparison,
        dimension,
        member,
        evidence_model,
        evidence_filter,
        evidence_column,
        cast(insight_rank as {{ dbt.type_int() }}) as insight_rank,
        cast(metric_value as numeric(20, 6)) as metric_value,
        cast(base_value as numeric(20, 6)) as base_value,
        cast(change_value as numeric(20, 6)) as change_value,
        cast(impact_amount as {{ type_money() }}) as impact_amount,
        is_good,
        insight_rank <= 3 as is_for_ceo,
        period_start_date,
        period_end_date,
        {{ as_of_date() }} as as_of_date
    from ranked

)

select * from final
