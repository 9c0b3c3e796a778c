-- One row per order that is unlike others or unlike what its customer usually orders, by the current run.
with

outliers as (

    select * from {{ source('ml', 'order_outliers') }}

),

current_runs as (

    select * from {{ ref('current_runs') }}
    where
        task = 'anomalies'
        and status = 'ok'

),

final as (

    select
        outliers.order_id,
        outliers.customer_key,
        outliers.reason,
        outliers.method,
        outliers.run_id,
        cast(outliers.demand_amount as {{ type_money() }}) as demand_amount,
        cast(outliers.usual_amount as {{ type_money() }}) as usual_amount,
        outliers.score,
        outliers.as_of_date,
        outliers.order_date,
        outliers.scored_at
    from outliers
    inner join current_runs
        on outliers.run_id = current_runs.run_id

)

select * from final
