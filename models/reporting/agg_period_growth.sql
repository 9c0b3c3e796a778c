-- One row per comparison of two periods, store ('(all)' is the shop) and metric.
--
-- Reads the daily roll-up alone, whose size is days × stores.
{% set additive = [
    'gross_sales', 'discount', 'returns', 'net_sales', 'shipping', 'tax', 'total_sales', 'demand', 'marketing_spend',
] %}
{% set counts = ['orders', 'new_customers', 'units', 'returned_units'] %}
{% set profits = ['cogs', 'gross_profit', 'cm2', 'cm3', 'total_cost', 'net_profit'] %}

with

periods as (

    select * from {{ ref('int_comparison_periods') }}

),

daily as (

    select * from {{ ref('agg_daily_metrics') }}
    where is_complete

),

bounds as (

    select min(metric_date) as first_date
    from daily

),

scoped as (

    select
        store_id,
        metric_date,
        {% for name in additive + profits -%}
        {{ name }}_amount as {{ name }},
        {% endfor -%}
        {% for name in counts -%}
        {{ name }},
        {% endfor -%}
        costed_demand_amount as costed_demand
    from daily

    union all

    select
        '(all)' as store_id,
        metric_date,
        {% for name in additive + profits -%}
        sum({{ name }}_amount) as {{ name }},
        {% endfor -%}
        {% for name in counts -%}
        sum({{ name }}) as {{ name }},
        {% endfor -%}
        sum(costed_demand_amount) as costed_demand
    from daily
    group by metric_date

),

sides as (

    {% for side in ['period', 'base'] -%}
    select
        comparison,
        '{{ side }}' as side,
        {{ side }}_start_date as start_date,
        {{ side }}_end_date as end_date
    from periods
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

summed as (

    select
        sides.comparison,
        sides.side,
        scoped.store_id,
        {% for name in additive + counts + ['costed_demand'] -%}
        sum(scoped.{{ name }}) as {{ name }},
        {% endfor -%}
        {% for name in profits -%}
        -- an unknown cost is not a cost of 0
        case
            when
                sum(scoped.demand) > 0
                and sum(scoped.costed_demand) >= {{ var('least_cost_coverage') }} * sum(scoped.demand)
                then sum(scoped.{{ name }})
        end as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from sides
    inner join scoped
        on
            scoped.metric_date >= sides.start_date
            and scoped.metric_date <= sides.end_date
    group by sides.comparison, sides.side, scoped.store_id

),

measured as (

    {% for name in additive + counts + profits -%}
    select
        comparison,
        side,
        store_id,
        '{{ name }}' as metric_name,
        {{ name }} as metric_value
    from summed

    union all

    {% endfor -%}

    {% for name, numerator, denominator in [
        ('aov', 'demand', 'orders'),
        ('units_per_order', 'units', 'orders'),
        ('discount_rate', 'discount', 'gross_sales'),
        ('gross_margin', 'gross_profit', 'net_sales'),
        ('cost_coverage', 'costed_demand', 'demand'),
    ] -%}
    select
        comparison,
        side,
        store_id,
        '{{ name }}' as metric_name,
        case when {{ denominator }} <> 0 then {{ numerator }} / cast({{ denominator }} as numeric(20, 4)) end as metric_value
    from summed
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

paired as (

    select
        periods.comparison,
        periods.base_kind,
        measured.store_id,
        measured.metric_name,
        max(case when measured.side = 'period' then measured.metric_value end) as metric_value,
        max(case when measured.side = 'base' then measured.metric_value end) as base_value,
        periods.days,
        periods.base_days,
        -- a base that began before the data did is not a whole one
        max(case when periods.base_start_date >= bounds.first_date then 1 else 0 end) = 1 as is_base_complete,
        periods.period_start_date,
        periods.period_end_date,
        periods.base_start_date,
        periods.base_end_date
    from periods
    inner join measured
        on periods.comparison = measured.comparison
    cross join bounds
    group by
        periods.comparison,
        periods.base_kind,
        measured.store_id,
        measured.metric_name,
        periods.days,
        periods.base_days,
        periods.period_start_date,
        periods.period_end_date,
        periods.base_start_date,
        periods.base_end_date

),

final as (

    select
        {{ surrogate_key(['comparison', 'store_id', 'metric_name']) }} as growth_key,
        comparison,
        base_kind,
        store_id,
        metric_name,
        cast(metric_value as numeric(20, 6)) as metric_value,
        cast(base_value as numeric(20, 6)) as base_value,
        cast(metric_value - base_value as numeric(20, 6)) as change_value,
        cast(case when base_value > 0 and is_base_complete then metric_value / base_value - 1 end as numeric(20, 6))
            as growth_rate,
        days,
        base_days,
        is_base_complete,
        period_start_date,
        period_end_date,
        base_start_date,
        base_end_date
    from paired

)

select * from final
