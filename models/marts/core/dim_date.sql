-- One row per day, without gaps: from the January before the first event to the December two years on.
{% set months = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'] %}
{% set days = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] %}
{% set fiscal_start = var('fiscal_year_start_month', 1) %}

with

orders as (

    select * from {{ ref('int_orders_classified') }}

),

campaign_days as (

    select * from {{ ref('stg_shop__campaign_days') }}

),

holidays as (

    select * from {{ ref('holidays') }}

),

event_dates as (

    select min(order_date) as event_date
    from orders

    union all

    select min(spend_date) as event_date
    from campaign_days

),

bounds as (

    select
        {{ dbt.date_trunc('year', 'coalesce(min(event_date), ' ~ as_of_date() ~ ')') }} as first_date,
        {{ dbt.dateadd('day', -1, dbt.dateadd('year', 3, dbt.date_trunc('year', as_of_date()))) }} as last_date
    from event_dates

),

days as (

    {{ date_rows('(select first_date from bounds)', '(select last_date from bounds)', 'date_day') }}

),

holiday_names as (

    select
        holiday_date,
        {{ string_agg('holiday_name', "', '") }} as holiday_name
    from holidays
    where country_code = '{{ var("holiday_country", "GB") }}'
    group by holiday_date

),

numbered as (

    select
        days.date_day,
        holiday_names.holiday_name,
        cast(extract(year from days.date_day) as {{ dbt.type_int() }}) as year_number,
        cast(extract(month from days.date_day) as {{ dbt.type_int() }}) as month_number,
        cast(extract(day from days.date_day) as {{ dbt.type_int() }}) as day_of_month,
        cast(extract(week from days.date_day) as {{ dbt.type_int() }}) as iso_week,
        -- 1900-01-01 was a Monday; extract(dow) counts differently from engine to engine
        cast(mod({{ dbt.datediff("cast('1900-01-01' as date)", 'days.date_day', 'day') }}, 7) as {{ dbt.type_int() }})
        + 1 as iso_day_of_week
    from days
    left join holiday_names
        on days.date_day = holiday_names.holiday_date

),

final as (

    select
        date_day,
        cast({{ dbt.date_trunc('week', 'date_day') }} as date) as week_start_date,
        cast({{ dbt.date_trunc('month', 'date_day') }} as date) as month_start_date,
        cast({{ dbt.date_trunc('quarter', 'date_day') }} as date) as quarter_start_date,
        cast({{ dbt.date_trunc('year', 'date_day') }} as date) as year_start_date,
        case iso_day_of_week
            {% for day in days -%}
            when {{ loop.index }} then '{{ day }}'
            {% endfor %}
        end as day_name,
        case month_number
            {% for month in months -%}
            when {{ loop.index }} then '{{ month }}'
            {% endfor %}
        end as month_name,
        case
            when month_number in (12, 1, 2) then 'winter'
            when month_number in (3, 4, 5) then 'spring'
            when month_number in (6, 7, 8) then 'summer'
            else 'autumn'
        end as season,
        holiday_name,
        year_number,
        cast(extract(quarter from date_day) as {{ dbt.type_int() }}) as quarter_number,
        month_number,
        day_of_month,
        iso_day_of_week,
        iso_week,
        -- the ISO week belongs to the year of its Thursday
        cast(extract(year from {{ dbt.dateadd('day', '4 - iso_day_of_week', 'date_day') }}) as {{ dbt.type_int() }})
            as iso_year,
        {% if fiscal_start == 1 -%}
        year_number as fiscal_year,
        {%- else -%}
        case when month_number >= {{ fiscal_start }} then year_number + 1 else year_number end as fiscal_year,
        {%- endif %}
        iso_day_of_week >= 6 as is_weekend,
        holiday_name is not null as is_holiday,
        date_day <= {{ as_of_date() }} as is_complete
    from numbered

)

select * from final
