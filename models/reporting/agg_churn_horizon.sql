-- One row per kind of gap: the usual time between orders, and the horizon that it suggests for churn.
with

gaps as (

    select * from {{ ref('agg_order_gaps') }}

),

final as (

    select
        gap_kind,
        cast(sum(reorders) as {{ dbt.type_int() }}) as reorders,
        cast(sum(censored) as {{ dbt.type_int() }}) as censored,
        min(case when share_of_reorders >= 0.5 then gap_days end) as median_gap_days,
        min(case when share_of_reorders >= 0.9 then gap_days end) as p90_gap_days,
        min(case when survival <= 0.5 then gap_days end) as median_days_until_reorder,
        {{ var('churn_horizon_days') }} as churn_horizon_days
    from gaps
    group by gap_kind

)

select * from final
