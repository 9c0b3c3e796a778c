-- One row per metric, period and scope that the shop has planned.
with

targets as (

    select * from {{ ref('targets') }}

),

ended as (

    select
        *,
        cast(
            case period_grain
                when 'day' then {{ dbt.dateadd('day', 1, 'period_start_date') }}
                when 'week' then {{ dbt.dateadd('day', 7, 'period_start_date') }}
                when 'month' then {{ dbt.dateadd('month', 1, 'period_start_date') }}
                when 'quarter' then {{ dbt.dateadd('month', 3, 'period_start_date') }}
                when 'year' then {{ dbt.dateadd('year', 1, 'period_start_date') }}
            end as date
        ) as next_period_start_date
    from targets

),

final as (

    select
        {{ surrogate_key(['metric_name', 'period_grain', 'period_start_date', 'scope_type', 'scope_value']) }}
            as target_key,
        metric_name,
        period_grain,
        scope_type,
        coalesce(scope_value, '(all)') as scope_value,
        note,
        cast(target_value as {{ type_money() }}) as target_value,
        cast({{ dbt.datediff('period_start_date', 'next_period_start_date', 'day') }} as {{ dbt.type_int() }})
            as days_in_period,
        period_start_date,
        cast({{ dbt.dateadd('day', -1, 'next_period_start_date') }} as date) as period_end_date
    from ended

)

select * from final
