-- One row per cohort (people by the period of their first order, one of them or a part), and k, the
-- number of whole periods since the first order: who came back, and what they were worth.
--
-- Order basis. A person's period k begins k months (quarters, weeks) after their own first order, so
-- everybody has the same time in each cell. A cell is complete when the whole cohort is through it; rates
-- are null before. The horizon is as long as the data.
{% set all_grains = {
    'month': {'unit': 'month', 'length': 1},
    'quarter': {'unit': 'month', 'length': 3},
    'week': {'unit': 'day', 'length': 7},
} %}
{% set dimensions = {
    'first_category': 'first_category',
    'first_channel': 'first_channel',
    'first_country': 'first_country',
    'first_discount': "case when is_first_discounted then 'discounted' else 'full price' end",
} %}
{% set grains = var('cohort_grains', ['month', 'quarter', 'week']) %}
{% set parts = var('cohort_dimensions', dimensions.keys() | list) %}
{% set sums = [
    'new_customers', 'second_order_customers', 'last_order_customers', 'orders', 'repeat_orders',
    'gross_sales_amount', 'net_sales_amount', 'gross_profit_amount', 'cm2_amount', 'demand_amount',
    'costed_demand_amount',
] %}
{% set cell_sums -%}
{% for column, condition in {
            'new_customers': 'order_seq = 1',
            'second_order_customers': 'order_seq = 2',
            'last_order_customers': 'next_order_seq is null',
            'orders': 'true',
            'repeat_orders': 'order_seq > 1',
        }.items() -%}
        cast(sum(case when {{ condition }} then 1 else 0 end) as {{ dbt.type_int() }}) as {{ column }},
        {% endfor -%}
        {% for column in ['gross_sales_amount', 'net_sales_amount', 'gross_profit_amount', 'cm2_amount', 'demand_amount', 'costed_demand_amount'] -%}
        sum({{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {% endfor -%}
{%- endset %}

with

orders as (

    select
        customer_key,
        first_category,
        first_channel,
        first_country,
        order_seq,
        months_since_first as month_k,
        cast(floor(days_since_first / 7.0) as {{ dbt.type_int() }}) as week_k,
        gross_sales_amount,
        net_sales_amount,
        gross_profit_amount,
        cm2_amount,
        demand_amount,
        costed_demand_amount,
        is_first_discounted,
        first_order_date
    from {{ ref('fct_customer_orders') }}
    where order_date <= {{ as_of_date() }}

),

as_of as (

    select {{ as_of_date() }} as as_of_date

),

-- Everybody is counted once in each period of their own: by the first order in it. So orders can be
-- added up, and need not be gathered by person before.
counted as (

    select
        *,
        lag(month_k) over first_to_last as previous_month_k,
        lag(week_k) over first_to_last as previous_week_k,
        lead(order_seq) over first_to_last as next_order_seq
    from orders
    window
        first_to_last as (
            partition by customer_key
            order by order_seq asc
        )

),

-- a quarter of one's own is three months of one's own
month_cells as (

    select
        cast({{ dbt.date_trunc('month', 'first_order_date') }} as date) as cohort_start_date,
        first_category,
        first_channel,
        first_country,
        is_first_discounted,
        month_k,
        {{ cell_sums }},
        cast(sum(case when previous_month_k = month_k then 0 else 1 end) as {{ dbt.type_int() }}) as month_customers,
        cast(
            sum(case when floor(previous_month_k / 3.0) = floor(month_k / 3.0) then 0 else 1 end) as {{ dbt.type_int() }}
        ) as quarter_customers
    from counted
    group by
        cast({{ dbt.date_trunc('month', 'first_order_date') }} as date),
        first_category, first_channel, first_country, is_first_discounted, month_k

),

parted as (

    select
        'all' as cohort_dimension,
        'all' as cohort_member,
        month_cells.*
    from month_cells
    {%- for dimension in parts %}
    union all
    select
        '{{ dimension }}' as cohort_dimension,
        {{ dimensions[dimension] }} as cohort_member,
        month_cells.*
    from month_cells
    {%- endfor %}

),

months as (

    select
        cohort_dimension,
        cohort_member,
        cohort_start_date,
        month_k,
        {% for column in sums -%}
        sum({{ column }}) as {{ column }},
        {% endfor -%}
        sum(month_customers) as month_customers,
        sum(quarter_customers) as quarter_customers
    from parted
    group by cohort_dimension, cohort_member, cohort_start_date, month_k

),

-- the parts of a weekly cohort are too small to be read
summed as (

    {% for grain in grains -%}
    {%- if grain == 'week' -%}
    select
        'week' as cohort_grain,
        'all' as cohort_dimension,
        'all' as cohort_member,
        cast({{ dbt.date_trunc('week', 'first_order_date') }} as date) as cohort_start_date,
        week_k as k,
        {{ cell_sums }},
        sum(case when previous_week_k = week_k then 0 else 1 end) as returning_customers
    from counted
    group by cast({{ dbt.date_trunc('week', 'first_order_date') }} as date), week_k
    {%- elif grain == 'quarter' -%}
    select
        'quarter' as cohort_grain,
        cohort_dimension,
        cohort_member,
        cast({{ dbt.date_trunc('quarter', 'cohort_start_date') }} as date) as cohort_start_date,
        cast(floor(month_k / 3.0) as {{ dbt.type_int() }}) as k,
        {% for column in sums -%}
        sum({{ column }}) as {{ column }},
        {% endfor -%}
        sum(quarter_customers) as returning_customers
    from months
    group by
        cohort_dimension, cohort_member, cast({{ dbt.date_trunc('quarter', 'cohort_start_date') }} as date),
        cast(floor(month_k / 3.0) as {{ dbt.type_int() }})
    {%- else -%}
    select
        'month' as cohort_grain,
        cohort_dimension,
        cohort_member,
        cohort_start_date,
        month_k as k,
        {% for column in sums -%}
        {{ column }},
        {% endfor -%}
        month_customers as returning_customers
    from months
    {%- endif %}
    {% if not loop.last -%}
    union all
    {% endif %}
    {%- endfor %}

),

-- everybody's first order is in period 0
cohorts as (

    select
        cohort_grain,
        cohort_dimension,
        cohort_member,
        cohort_start_date,
        cast(new_customers as {{ dbt.type_int() }}) as cohort_size,
        row_number() over (
            order by cohort_grain asc, cohort_dimension asc, cohort_member asc, cohort_start_date asc nulls last
        ) as cohort_number,
        case cohort_grain
            {% for grain in grains -%}
            when '{{ grain }}'
                then cast({{ dbt.dateadd('day', -1, dbt.dateadd(all_grains[grain].unit, all_grains[grain].length, 'cohort_start_date')) }} as date)
            {% endfor -%}
        end as cohort_end_date
    from summed
    where k = 0

),

calendar as (

    {{ date_rows('(select min(cohorts.cohort_start_date) from cohorts)', as_of_date(), 'calendar_date') }}

),

day_numbers as (

    select
        {{ dbt.datediff('(select min(calendar.calendar_date) from calendar)', 'calendar_date', 'day') }} as k
    from calendar

),

-- no period is shorter than a week
numbers as (

    select k
    from day_numbers
    where k * 7 <= (select max(day_numbers.k) from day_numbers)

),

periods as (

    {% for grain in grains -%}
    select
        '{{ grain }}' as cohort_grain,
        starts.cohort_start_date,
        numbers.k,
        -- the last one of the cohort is through
        {{ dbt.dateadd(all_grains[grain].unit, '(numbers.k + 1) * ' ~ all_grains[grain].length, 'starts.cohort_end_date') }}
        <= {{ dbt.dateadd('day', 1, 'as_of.as_of_date') }} as is_complete
    from (
        select distinct
            cohort_start_date,
            cohort_end_date
        from cohorts
        where cohort_grain = '{{ grain }}'
    ) as starts
    cross join as_of
    inner join numbers
        on {{ dbt.dateadd(all_grains[grain].unit, 'numbers.k * ' ~ all_grains[grain].length, 'starts.cohort_start_date') }} <= as_of.as_of_date
    {% if not loop.last -%}
    union all
    {% endif %}
    {%- endfor %}

),

gridded as (

    select
        cohorts.cohort_grain,
        cohorts.cohort_dimension,
        cohorts.cohort_member,
        cohorts.cohort_start_date,
        cohorts.cohort_size,
        cohorts.cohort_number,
        periods.k,
        periods.is_complete,
        {% for column in sums + ['returning_customers'] -%}
        coalesce(summed.{{ column }}, 0) as {{ column }}{{ ',' if not loop.last }}
        {% endfor -%}
    from cohorts
    inner join periods
        on
            cohorts.cohort_grain = periods.cohort_grain
            and cohorts.cohort_start_date = periods.cohort_start_date
    left join summed
        on
            cohorts.cohort_grain = summed.cohort_grain
            and cohorts.cohort_dimension = summed.cohort_dimension
            and cohorts.cohort_member = summed.cohort_member
            and cohorts.cohort_start_date = summed.cohort_start_date
            and periods.k = summed.k

),

cumulated as (

    select
        *,
        sum(second_order_customers) over until_k as repurchasing_customers,
        cohort_size - (sum(last_order_customers) over until_k - last_order_customers) as retained_customers,
        sum(orders) over until_k as cumulative_orders,
        sum(gross_sales_amount) over until_k as cumulative_gross_sales_amount,
        sum(net_sales_amount) over until_k as cumulative_net_sales_amount,
        sum(cm2_amount) over until_k as cumulative_cm2_amount,
        sum(demand_amount) over until_k as cumulative_demand_amount,
        sum(costed_demand_amount) over until_k as cumulative_costed_demand_amount
    from gridded
    window
        until_k as (
            partition by cohort_number
            order by k asc
            rows between unbounded preceding and current row
        )

),

final as (

    select
        {{ surrogate_key(['cohort_grain', 'cohort_dimension', 'cohort_member', 'cohort_start_date', 'k']) }} as cohort_cell_key,
        cohort_grain,
        cohort_dimension,
        cohort_member,
        cast(k as {{ dbt.type_int() }}) as k,
        cast(cohort_size as {{ dbt.type_int() }}) as cohort_size,
        cast(returning_customers as {{ dbt.type_int() }}) as returning_customers,
        cast(repurchasing_customers as {{ dbt.type_int() }}) as repurchasing_customers,
        cast(retained_customers as {{ dbt.type_int() }}) as retained_customers,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(repeat_orders as {{ dbt.type_int() }}) as repeat_orders,
        cast(cumulative_orders as {{ dbt.type_int() }}) as cumulative_orders,
        {% for rate, count in {'returning_rate': 'returning_customers', 'repurchase_rate': 'repurchasing_customers', 'repeat_orders_rate': 'repeat_orders', 'retention_rate': 'retained_customers'}.items() -%}
        cast(case when is_complete then cast({{ count }} as numeric(20, 6)) / cohort_size end as numeric(12, 6)) as {{ rate }},
        {% endfor -%}
        cast(gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(gross_profit_amount as {{ type_money() }}) as gross_profit_amount,
        cast(cm2_amount as {{ type_money() }}) as cm2_amount,
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        cast(cumulative_gross_sales_amount as {{ type_money() }}) as cumulative_gross_sales_amount,
        cast(cumulative_net_sales_amount as {{ type_money() }}) as cumulative_net_sales_amount,
        cast(cumulative_cm2_amount as {{ type_money() }}) as cumulative_cm2_amount,
        cast(cumulative_demand_amount as {{ type_money() }}) as cumulative_demand_amount,
        cast(cumulative_costed_demand_amount as {{ type_money() }}) as cumulative_costed_demand_amount,
        is_complete,
        cohort_start_date
    from cumulated

)

select * from final
