-- In every series, period and dimension with parts, their forecasts add up to the champion's of the total.
-- Forecasts lie on a grid on which sums have no rounding error, so nothing at all may be missing.
with

forecasts as (

    select * from {{ ref('sales_forecasts') }}
    where is_champion

),

totals as (

    select * from forecasts
    where dimension = 'total'

),

parts as (

    select
        series,
        dimension,
        grain,
        target_date,
        sum(yhat) as yhat
    from forecasts
    where dimension <> 'total'
    group by series, dimension, grain, target_date

),

final as (

    select
        parts.*,
        totals.yhat as total_yhat
    from parts
    left join totals
        on
            parts.series = totals.series
            and parts.grain = totals.grain
            and parts.target_date = totals.target_date
    where
        totals.yhat is null
        or parts.yhat <> totals.yhat

)

select * from final
