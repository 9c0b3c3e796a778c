-- One row per cohort (people by the period of their first order, one of them or a part), and k, the
-- number of whole periods since the first order: who came back, and what they were worth.
--
-- Order basis. A person's period k begins k months (quarters, weeks) after their own first order, so
-- everybody has the same time in each cell. A cell is complete when the whole cohort is through it; rates
-- are null before. The horizon is as long as the data.
{% set all_grains = {
    'month': {'age': 'months_since_first', 'unit': 'month', 'length': 1},
    'quarter': {'age': 'floor(months_since_first / 3.0)', 'unit': 'month', 'length': 3},
    'week': {'age': 'floor(days_since_first / 7.0)', 'unit': 'day', 'length': 7},
} %}
{% set dimensions = {
    'first_category': 'first_category',
    'first_channel': 'first_channel',
    'first_country': 'first_country',
    'first_discount': "case when is_first_discounted then 'discounted' else 'full price' end",
} %}
{% set grains = var('cohort_grains', ['month', 'quarter', 'week']) %}
{% set parts = var('cohort_dimensions', dimensions.keys() | list) %}

with

orders as (

    select * from {{ ref('fct_customer_orders') }}
    where order_date <= {{ as_of_date() }}

),

as_of as (

    select {{ as_of_date() }} as as_of_date

),

aged as (

    select
        *,
        {% for grain in grains -%}
        cast({{ all_grains[grain].age }} as {{ dbt.type_int() }}) as {{ grain }}_k,
        {% endfor -%}
        max(order_seq) over (partition by customer_key) as last_order_seq
    from orders

),

-- Everybody is counted once in each period of their own: by the first order in it. So orders can be
-- added up, and need not be gathered by person before.
counted as (

    select
        *,
        {% for grain in grains -%}
        case
            when {{ grain }}_k = lag({{ grain }}_k) over (partition by customer_key order by order_seq asc) then 0 else 1
        end as is_first_in_{{ grain }},
        {% endfor -%}
        case when order_seq = last_order_seq then 1 else 0 end as is_last
    from aged

),

{% for grain in grains %}
{{ grain }}_cells as (

    select
        cast({{ dbt.date_trunc(grain, 'first_order_date') }} as date) as cohort_start_date,
        first_category,
        first_channel,
        first_country,
        is_first_discounted,
        {{ grain }}_k as k,
        sum(case when order_seq = 1 then 1 else 0 end) as new_customers,
        sum(is_first_in_{{ grain }}) as returning_customers,
        sum(case when order_seq = 2 then 1 else 0 end) as second_order_customers,
        sum(is_last) as last_order_customers,
        count(*) as orders,
        sum(case when order_seq > 1 then 1 else 0 end) as repeat_orders,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(gross_profit_amount) as gross_profit_amount,
        sum(cm2_amount) as cm2_amount,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount
    from counted
    group by
        cast({{ dbt.date_trunc(grain, 'first_order_date') }} as date),
        first_category, first_channel, first_country, is_first_discounted, {{ grain }}_k

),

{% endfor %}
-- the parts of a weekly cohort are too small to be read
cells as (

    {% for grain in grains -%}
    select
        '{{ grain }}' as cohort_grain,
        'all' as cohort_dimension,
        'all' as cohort_member,
        {{ grain }}_cells.*
    from {{ grain }}_cells
    {%- if grain != 'week' %}
    {%- for dimension in parts %}
    union all
    select
        '{{ grain }}' as cohort_grain,
        '{{ dimension }}' as cohort_dimension,
        {{ dimensions[dimension] }} as cohort_member,
        {{ grain }}_cells.*
    from {{ grain }}_cells
    {%- endfor %}
    {%- endif %}
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

summed as (

    select
        cohort_grain,
        cohort_dimension,
        cohort_member,
        cohort_start_date,
        k,
        sum(new_customers) as new_customers,
        sum(returning_customers) as returning_customers,
        sum(second_order_customers) as second_order_customers,
        sum(last_order_customers) as last_order_customers,
        sum(orders) as orders,
        sum(repeat_orders) as repeat_orders,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(gross_profit_amount) as gross_profit_amount,
        sum(cm2_amount) as cm2_amount,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount
    from cells
    group by cohort_grain, cohort_dimension, cohort_member, cohort_start_date, k

),

cohorts as (

    select
        cohort_grain,
        cohort_dimension,
        cohort_member,
        cohort_start_date,
        sum(new_customers) as cohort_size,
        case cohort_grain
            {% for grain in grains -%}
            when '{{ grain }}'
                then cast({{ dbt.dateadd('day', -1, dbt.dateadd(all_grains[grain].unit, all_grains[grain].length, 'cohort_start_date')) }} as date)
            {% endfor -%}
        end as cohort_end_date
    from summed
    group by cohort_grain, cohort_dimension, cohort_member, cohort_start_date

),

calendar as (

    {{ date_rows('(select min(orders.first_order_date) from orders)', as_of_date(), 'calendar_date') }}

),

-- as many numbers as there are days: more than there are periods
numbers as (

    select
        {{ dbt.datediff('(select min(calendar.calendar_date) from calendar)', 'calendar_date', 'day') }} as k
    from calendar

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
        periods.k,
        periods.is_complete,
        coalesce(summed.returning_customers, 0) as returning_customers,
        coalesce(summed.second_order_customers, 0) as second_order_customers,
        coalesce(summed.last_order_customers, 0) as last_order_customers,
        coalesce(summed.orders, 0) as orders,
        coalesce(summed.repeat_orders, 0) as repeat_orders,
        coalesce(summed.gross_sales_amount, 0) as gross_sales_amount,
        coalesce(summed.net_sales_amount, 0) as net_sales_amount,
        coalesce(summed.gross_profit_amount, 0) as gross_profit_amount,
        coalesce(summed.cm2_amount, 0) as cm2_amount,
        coalesce(summed.demand_amount, 0) as demand_amount,
        coalesce(summed.costed_demand_amount, 0) as costed_demand_amount
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
            partition by cohort_grain, cohort_dimension, cohort_member, cohort_start_date
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
