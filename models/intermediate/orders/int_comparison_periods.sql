-- One row per comparison: a period that ends with the last complete day or month, and what it is compared with.
--
-- A period that isn't over is compared with the same number of elapsed days, never with a whole month; a base
-- month that is shorter ends with its last day. Whole months are compared with whole months.
with

today as (

    select
        {{ as_of_date() }} as as_of_date,
        cast({{ dbt.date_trunc('month', as_of_date()) }} as date) as month_start,
        cast({{ dbt.date_trunc('year', as_of_date()) }} as date) as year_start,
        cast(
            case
                when {{ dbt.dateadd('day', 1, as_of_date()) }}
                    = {{ dbt.date_trunc('month', dbt.dateadd('day', 1, as_of_date())) }}
                    then {{ dbt.date_trunc('month', as_of_date()) }}
                else {{ dbt.dateadd('month', -1, dbt.date_trunc('month', as_of_date())) }}
            end as date
        ) as last_month_start

),

dated as (

    {% for name, days_back, base_back in [
        ('last_7_days_vs_prior', 6, 7),
        ('last_28_days_vs_prior', 27, 28),
        ('last_28_days_vs_prior_year', 27, 364),
        ('last_365_days_vs_prior', 364, 365),
    ] -%}
    select
        '{{ name }}' as comparison,
        {{ dbt.dateadd('day', -days_back, 'as_of_date') }} as period_start_date,
        as_of_date as period_end_date,
        {{ dbt.dateadd('day', -days_back - base_back, 'as_of_date') }} as base_start_date,
        {{ dbt.dateadd('day', -base_back, 'as_of_date') }} as base_end_date
    from today

    union all

    {% endfor -%}

    {% for name, start, part, back in [
        ('month_to_date_vs_prior_month', 'month_start', 'month', 1),
        ('month_to_date_vs_prior_year', 'month_start', 'month', 12),
        ('year_to_date_vs_prior_year', 'year_start', 'year', 1),
    ] -%}
    select
        '{{ name }}' as comparison,
        {{ start }} as period_start_date,
        as_of_date as period_end_date,
        {{ dbt.dateadd(part, -back, start) }} as base_start_date,
        least(
            {{ dbt.dateadd('day', dbt.datediff(start, 'as_of_date', 'day'), dbt.dateadd(part, -back, start)) }},
            {{ dbt.dateadd('day', -1, dbt.dateadd(part, 1 - back, start)) }}
        ) as base_end_date
    from today

    union all

    {% endfor -%}

    {% for name, back in [('last_month_vs_prior_month', 1), ('last_month_vs_prior_year', 12)] -%}
    select
        '{{ name }}' as comparison,
        last_month_start as period_start_date,
        {{ dbt.dateadd('day', -1, dbt.dateadd('month', 1, 'last_month_start')) }} as period_end_date,
        {{ dbt.dateadd('month', -back, 'last_month_start') }} as base_start_date,
        {{ dbt.dateadd('day', -1, dbt.dateadd('month', 1 - back, 'last_month_start')) }} as base_end_date
    from today
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

typed as (

    select
        comparison,
        cast(period_start_date as date) as period_start_date,
        cast(period_end_date as date) as period_end_date,
        cast(base_start_date as date) as base_start_date,
        cast(base_end_date as date) as base_end_date
    from dated
    where period_end_date is not null

),

final as (

    select
        comparison,
        case when comparison like '%prior_year' then 'prior_year' else 'prior_period' end as base_kind,
        cast({{ dbt.datediff('period_start_date', 'period_end_date', 'day') }} as {{ dbt.type_int() }}) + 1 as days,
        cast({{ dbt.datediff('base_start_date', 'base_end_date', 'day') }} as {{ dbt.type_int() }}) + 1 as base_days,
        period_start_date,
        period_end_date,
        base_start_date,
        base_end_date
    from typed

)

select * from final
