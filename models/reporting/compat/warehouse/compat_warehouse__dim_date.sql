-- One row per day.
{{ config(alias='dim_date') }}

with

dates as (

    select * from {{ ref('dim_date') }}

),

final as (

    select
        year_number * 10000 + month_number * 100 + day_of_month as date_key,
        date_day as full_date,
        year_number as year,
        quarter_number as quarter,
        month_number as month,
        month_name,
        iso_week as week_of_year,
        day_of_month,
        iso_day_of_week as day_of_week,
        day_name,
        season,
        holiday_name,
        is_weekend,
        is_holiday
    from dates

)

select * from final
