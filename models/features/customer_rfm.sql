-- One row per customer and as-of date: recency, frequency and money as they were known on that day.
--
-- As-of dates are the ends of the months and the last complete day. The states are those of
-- fct_customer_snapshot: what a score or a segment is has one home.
{{ config(materialized='view') }}

with

states as (

    select * from {{ ref('fct_customer_snapshot') }}

),

segments as (

    select * from {{ ref('rfm_segments') }}

),

final as (

    select
        states.customer_key,
        states.rfm_code,
        states.rfm_segment,
        cast(segments.rfm_segment_rank as {{ dbt.type_int() }}) as rfm_segment_rank,
        states.recency_score,
        states.frequency_score,
        states.monetary_score,
        states.recency_days,
        states.tenure_days,
        states.order_days,
        states.orders,
        states.demand_amount,
        states.returns_amount,
        states.monetary_amount,
        states.snapshot_date = {{ as_of_date() }} as is_latest,
        states.first_order_date,
        states.last_order_date,
        states.snapshot_date as as_of_date
    from states
    left join segments
        on states.rfm_code = segments.rfm_code

)

select * from final
