-- One row per series: the champion's total of the 365 days after the as-of date.
with

forecasts as (

    select * from {{ ref('sales_forecasts') }}

),

final as (

    select
        run_id,
        series,
        model,
        currency,
        yhat,
        lo80,
        hi80,
        lo95,
        hi95,
        as_of_date,
        target_date as first_date,
        cast({{ dbt.dateadd('day', 364, 'target_date') }} as date) as last_date,
        scored_at
    from forecasts
    where
        grain = 'year'
        and is_champion
        and dimension = 'total'

)

select * from final
