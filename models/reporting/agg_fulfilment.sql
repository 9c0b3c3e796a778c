-- One row per day on which the clock of orders started, place they left from and carrier (M65).
--
-- Medians and ninetieth percentiles are of what has arrived; beside them stands how much has not, because
-- the slow ones are those still on their way. They do not add up over days.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['fulfilment_key'],
    meta={
        'entity': 'day',
        'entity_column': 'fulfilment_date',
        'touched_also': [
            'select fulfilment_date from {{ ref("fct_order_lifecycle") }} where order_id in {{ touched("order") }}',
        ],
    },
) }}

with

lifecycle as (

    select * from {{ ref('fct_order_lifecycle') }}
    where
        is_countable
        and not is_cancelled
        and {{ is_touched('fulfilment_date') }}

),

shipments as (

    select * from {{ ref('fct_shipments') }}

),

located as (

    select
        lifecycle.*,
        coalesce(shipments.location_key, '-1') as location_key,
        coalesce(shipments.shipping_cost_amount, 0) as shipping_cost_amount
    from lifecycle
    left join shipments
        on lifecycle.order_id = shipments.order_id
    where lifecycle.fulfilment_date is not null

),

final as (

    select
        {{ surrogate_key(['fulfilment_date', 'location_key', "coalesce(carrier, 'none')"]) }} as fulfilment_key,
        location_key,
        coalesce(carrier, 'none') as carrier,
        cast(count(*) as {{ dbt.type_int() }}) as orders,
        cast(count(hours_to_ship) as {{ dbt.type_int() }}) as shipped_orders,
        cast(count(hours_to_deliver) as {{ dbt.type_int() }}) as delivered_orders,
        cast(count(case when is_on_time is not null then 1 end) as {{ dbt.type_int() }}) as promised_orders,
        cast(count(case when is_on_time then 1 end) as {{ dbt.type_int() }}) as on_time_orders,
        cast(count(case when is_delivery_censored then 1 end) as {{ dbt.type_int() }}) as open_orders,
        cast(count(case when has_impossible_dates then 1 end) as {{ dbt.type_int() }}) as impossible_orders,
        cast(sum(coalesce(hours_to_ship, 0)) as {{ type_money() }}) as hours_to_ship,
        cast(sum(coalesce(hours_to_deliver, 0)) as {{ type_money() }}) as hours_to_deliver,
        cast(percentile_cont(0.5) within group (order by hours_to_ship) as numeric(20, 4)) as median_hours_to_ship,
        cast(percentile_cont(0.9) within group (order by hours_to_ship) as numeric(20, 4)) as p90_hours_to_ship,
        cast(percentile_cont(0.5) within group (order by hours_to_deliver) as numeric(20, 4))
            as median_hours_to_deliver,
        cast(percentile_cont(0.9) within group (order by hours_to_deliver) as numeric(20, 4)) as p90_hours_to_deliver,
        cast(
            case
                when count(is_on_time) > 0 then count(case when is_on_time then 1 end) * 1.0 / count(is_on_time)
            end as numeric(20, 6)
        ) as on_time_rate,
        cast(sum(shipping_cost_amount) as {{ type_money() }}) as shipping_cost_amount,
        fulfilment_date
    from located
    group by fulfilment_date, location_key, coalesce(carrier, 'none')

)

select * from final
