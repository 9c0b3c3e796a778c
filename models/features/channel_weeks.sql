-- One row per marketing channel, attribution model and complete week in which the channel was visited, paid for or
-- credited with an order: what it cost and what it is credited with.
--
-- Added up over the channels, every model gives all orders of the week. The cost is the same in each.
with

days as (

    select * from {{ ref('agg_channel_performance') }}

),

weekly as (

    select
        marketing_channel,
        attribution_model,
        cast({{ dbt.date_trunc('week', 'metric_date') }} as date) as week_start_date,
        sum(spend_amount) as spend_amount,
        sum(attributed_orders) as attributed_orders,
        sum(net_sales_amount) as net_sales_amount,
        sum(gross_profit_amount) as gross_profit_amount,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount
    from days
    group by marketing_channel, attribution_model, cast({{ dbt.date_trunc('week', 'metric_date') }} as date)

),

final as (

    select
        marketing_channel,
        attribution_model,
        cast(attributed_orders as numeric(20, 6)) as attributed_orders,
        cast(spend_amount as {{ type_money() }}) as spend_amount,
        cast(net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(gross_profit_amount as {{ type_money() }}) as gross_profit_amount,
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        week_start_date,
        cast({{ dbt.dateadd('day', 6, 'week_start_date') }} as date) as week_end_date
    from weekly
    where {{ dbt.dateadd('day', 6, 'week_start_date') }} <= {{ as_of_date() }}

)

select * from final
