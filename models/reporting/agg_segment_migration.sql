-- One row per month, way of segmenting, segment a month before and segment at the month's end: how many
-- people moved or stayed.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['migration_key'],
    meta={'entity': 'month', 'entity_column': 'month_start_date'},
) }}

with

states as (

    select * from {{ ref('fct_customer_snapshot') }}
    where {{ is_touched('month_start_date') }}

),

moves as (

    select
        'rfm' as segment_scheme,
        month_start_date,
        is_complete,
        coalesce(previous_rfm_segment, '(first order)') as from_segment,
        rfm_segment as to_segment,
        count(*) as customers
    from states
    group by month_start_date, is_complete, coalesce(previous_rfm_segment, '(first order)'), rfm_segment

    union all

    select
        'lifecycle' as segment_scheme,
        month_start_date,
        is_complete,
        coalesce(previous_lifecycle_stage, '(first order)') as from_segment,
        lifecycle_stage as to_segment,
        count(*) as customers
    from states
    group by month_start_date, is_complete, coalesce(previous_lifecycle_stage, '(first order)'), lifecycle_stage

),

final as (

    select
        {{ surrogate_key(['month_start_date', 'segment_scheme', 'from_segment', 'to_segment']) }} as migration_key,
        segment_scheme,
        from_segment,
        to_segment,
        cast(customers as {{ dbt.type_int() }}) as customers,
        from_segment <> to_segment as is_move,
        is_complete,
        month_start_date
    from moves

)

select * from final
