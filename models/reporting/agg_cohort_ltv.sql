-- One row per monthly cohort, one of its parts and number of days N: what a member was worth by day N.
--
-- Order basis. A cell is there when the last member of the cohort has had N days.
{% set horizons = [0, 30, 45, 60, 90, 180, 360, 720] %}
{% set all_dimensions = {
    'first_category': 'first_category',
    'first_channel': 'first_channel',
    'first_country': 'first_country',
    'first_discount': "case when is_first_discounted then 'discounted' else 'full price' end",
} %}
{% set sums = [
    'new_customers', 'orders', 'gross_sales_amount', 'net_sales_amount', 'gross_profit_amount', 'cm2_amount',
    'demand_amount', 'costed_demand_amount',
] %}
{% set dimensions = ['all'] + var('cohort_dimensions', all_dimensions.keys() | list) %}

with

orders as (

    select * from {{ ref('fct_customer_orders') }}
    where
        order_date <= {{ as_of_date() }}
        and days_since_first <= {{ horizons | last }}

),

as_of as (

    select {{ as_of_date() }} as as_of_date

),

horizons as (

    {% for days in horizons -%}
    select {{ days }} as horizon_days
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

-- orders by the first horizon that holds them
cells as (

    select
        cast({{ dbt.date_trunc('month', 'first_order_date') }} as date) as cohort_start_date,
        first_category,
        first_channel,
        first_country,
        is_first_discounted,
        case
            {% for days in horizons -%}
            when days_since_first <= {{ days }} then {{ days }}
            {% endfor -%}
        end as horizon_days,
        count(case when order_seq = 1 then 1 end) as new_customers,
        count(*) as orders,
        sum(gross_sales_amount) as gross_sales_amount,
        sum(net_sales_amount) as net_sales_amount,
        sum(gross_profit_amount) as gross_profit_amount,
        sum(cm2_amount) as cm2_amount,
        sum(demand_amount) as demand_amount,
        sum(costed_demand_amount) as costed_demand_amount
    from orders
    group by
        cast({{ dbt.date_trunc('month', 'first_order_date') }} as date),
        first_category, first_channel, first_country, is_first_discounted,
        case
            {% for days in horizons -%}
            when days_since_first <= {{ days }} then {{ days }}
            {% endfor -%}
        end

),

parts as (

    {% for dimension in dimensions -%}
    select
        '{{ dimension }}' as cohort_dimension,
        {{ all_dimensions.get(dimension, "'all'") }} as cohort_member,
        cells.*
    from cells
    {% if not loop.last -%}
    union all
    {% endif %}
    {%- endfor %}

),

-- what came within each horizon and not within the one before
steps as (

    select
        cohort_dimension,
        cohort_member,
        cohort_start_date,
        horizon_days,
        {% for column in sums -%}
        sum({{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {% endfor -%}
    from parts
    group by cohort_dimension, cohort_member, cohort_start_date, horizon_days

),

summed as (

    select
        steps.cohort_dimension,
        steps.cohort_member,
        steps.cohort_start_date,
        horizons.horizon_days,
        sum(steps.new_customers) as cohort_size,
        {% for column in sums if column != 'new_customers' -%}
        sum(steps.{{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {% endfor -%}
    from steps
    inner join horizons
        on steps.horizon_days <= horizons.horizon_days
    group by steps.cohort_dimension, steps.cohort_member, steps.cohort_start_date, horizons.horizon_days

),

complete as (

    select summed.*
    from summed
    cross join as_of
    where
        {{ dbt.dateadd('day', 'summed.horizon_days - 1', dbt.dateadd('month', 1, 'summed.cohort_start_date')) }}
        <= as_of.as_of_date

),

final as (

    select
        {{ surrogate_key(['cohort_dimension', 'cohort_member', 'cohort_start_date', 'horizon_days']) }} as cohort_horizon_key,
        cohort_dimension,
        cohort_member,
        cast(horizon_days as {{ dbt.type_int() }}) as horizon_days,
        cast(cohort_size as {{ dbt.type_int() }}) as cohort_size,
        cast(orders as {{ dbt.type_int() }}) as orders,
        cast(gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(gross_profit_amount as {{ type_money() }}) as gross_profit_amount,
        cast(cm2_amount as {{ type_money() }}) as cm2_amount,
        cast(demand_amount as {{ type_money() }}) as demand_amount,
        cast(costed_demand_amount as {{ type_money() }}) as costed_demand_amount,
        cast(gross_sales_amount / cohort_size as {{ type_money() }}) as gross_ltv_amount,
        cast(net_sales_amount / cohort_size as {{ type_money() }}) as net_ltv_amount,
        cast(
            case
                when costed_demand_amount >= {{ var('least_cost_coverage') }} * demand_amount
                    then cm2_amount / cohort_size
            end as {{ type_money() }}
        ) as cm2_ltv_amount,
        cast(case when demand_amount <> 0 then costed_demand_amount / demand_amount end as numeric(9, 6)) as cost_coverage,
        cohort_start_date
    from complete

)

select * from final
