-- One row per comparison of two periods, decomposition and driver: what it added to the change of total sales.
--
-- Within a decomposition the contributions add up to the change, exactly. Parts (countries, categories, …) give
-- their own difference. Products of factors are shared out by Shapley's rule: each factor's effect, averaged over
-- all orders in which the factors could have moved; it needs no logarithm, so zeros and negative sums are no
-- special case. What a factor would have been in a period that had none of it is taken from the other period, so
-- that the lack is told by the factor that was 0. Prices, volumes and mix compare the products that were sold in
-- both periods; new and vanished ones are drivers of their own. Read from roll-ups, and from the ledger by date.
{% set sales_parts = [
    ('gross_sales', 'gross_sales_amount', 1), ('discounts', 'discount_amount', -1), ('returns', 'returns_amount', -1),
    ('shipping', 'shipping_amount', 1), ('tax', 'tax_amount', 1),
] %}
{% set profit_parts = [
    ('gross_sales', 'gross_sales_amount', 1), ('discounts', 'discount_amount', -1), ('returns', 'returns_amount', -1),
    ('shipping', 'shipping_amount', 1), ('cogs', 'cogs_amount', -1), ('payment_fees', 'payment_fee_amount', -1),
    ('estimated_payment_fees', 'estimated_payment_fee_amount', -1), ('shipping_cost', 'shipping_cost_amount', -1),
    ('fulfilment', 'fulfilment_cost_amount', -1), ('packaging', 'packaging_cost_amount', -1),
    ('return_handling', 'return_handling_cost_amount', -1), ('adjustments', 'adjustment_amount', 1),
    ('marketing_spend', 'marketing_spend_amount', -1), ('overheads', 'overhead_amount', -1),
] %}
{% set longest_for_products = 31 %}

with

periods as (

    select * from {{ ref('int_comparison_periods') }}

),

daily as (

    select * from {{ ref('agg_daily_metrics') }}
    where is_complete

),

members as (

    select * from {{ ref('agg_sales_by_dimension') }}

),

ledger as (

    select * from {{ ref('fct_sales_ledger') }}
    where
        is_countable
        and entry_type in ('sale', 'discount')

),

products as (

    select
        product_key,
        category
    from {{ ref('dim_products') }}

),

funnel as (

    select
        session_date,
        sum(sessions) as sessions,
        sum(orders) as session_orders,
        sum(revenue_amount) as session_sales
    from {{ ref('agg_funnel') }}
    group by session_date

),

sides as (

    {% for side in ['period', 'base'] -%}
    select
        comparison,
        '{{ side }}' as side,
        days,
        {{ side }}_start_date as start_date,
        {{ side }}_end_date as end_date
    from periods
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

totals as (

    select
        sides.comparison,
        {% for name, column, sign in profit_parts + [('tax', 'tax_amount', 1)] -%}
        {% for side in ['period', 'base'] -%}
        coalesce(sum(case when sides.side = '{{ side }}' then daily.{{ column }} end), 0) as {{ side }}_{{ name }},
        {% endfor -%}
        {% endfor -%}
        {% for side in ['period', 'base'] -%}
        coalesce(sum(case when sides.side = '{{ side }}' then daily.total_sales_amount end), 0) as {{ side }}_total_sales,
        coalesce(sum(case when sides.side = '{{ side }}' then daily.net_profit_amount end), 0) as {{ side }}_net_profit,
        coalesce(sum(case when sides.side = '{{ side }}' then daily.demand_amount end), 0) as {{ side }}_demand,
        coalesce(sum(case when sides.side = '{{ side }}' then daily.costed_demand_amount end), 0) as {{ side }}_costed_demand,
        coalesce(sum(case when sides.side = '{{ side }}' then daily.orders end), 0) as {{ side }}_orders{{ ',' if not loop.last }}
        {% endfor %}
    from sides
    inner join daily
        on
            daily.metric_date >= sides.start_date
            and daily.metric_date <= sides.end_date
    group by sides.comparison

),

bounds as (

    select min(metric_date) as first_date
    from daily

),

-- parts that add up

-- the periods overlap: cut where one begins or ends, so that a day is added up once for all of them
cuts as (

    select start_date as span_start_date
    from sides

    union

    select cast({{ dbt.dateadd('day', 1, 'end_date') }} as date) as span_start_date
    from sides

),

spans as (

    select
        span_start_date,
        lead(span_start_date) over (order by span_start_date asc nulls last) as next_start_date
    from cuts

),

segment_spans as (

    select
        members.dimension as decomposition,
        members.member as segment,
        spans.span_start_date,
        sum(members.total_sales_amount) as total_sales_amount
    from spans
    inner join members
        on
            members.sales_date >= spans.span_start_date
            and members.sales_date < spans.next_start_date
    group by members.dimension, members.member, spans.span_start_date

),

partitioned as (

    select
        sides.comparison,
        segment_spans.decomposition,
        'part' as driver,
        segment_spans.segment,
        sum(case when sides.side = 'period' then segment_spans.total_sales_amount else 0 end) as driver_value,
        sum(case when sides.side = 'base' then segment_spans.total_sales_amount else 0 end) as driver_base_value,
        sum(
            case
                when sides.side = 'period' then segment_spans.total_sales_amount
                else -segment_spans.total_sales_amount
            end
        ) as contribution
    from sides
    inner join segment_spans
        on
            segment_spans.span_start_date >= sides.start_date
            and segment_spans.span_start_date <= sides.end_date
    group by sides.comparison, segment_spans.decomposition, segment_spans.segment

),

componented as (

    {% for name, column, sign in sales_parts -%}
    select
        comparison,
        'total_sales' as metric_name,
        'components' as decomposition,
        '{{ name }}' as driver,
        '(all)' as segment,
        {{ sign }} * period_{{ name }} as driver_value,
        {{ sign }} * base_{{ name }} as driver_base_value,
        {{ sign }} * (period_{{ name }} - base_{{ name }}) as contribution
    from totals

    union all

    {% endfor -%}

    {% for name, column, sign in profit_parts -%}
    select
        comparison,
        'net_profit' as metric_name,
        'components' as decomposition,
        '{{ name }}' as driver,
        '(all)' as segment,
        {{ sign }} * period_{{ name }} as driver_value,
        {{ sign }} * base_{{ name }} as driver_base_value,
        {{ sign }} * (period_{{ name }} - base_{{ name }}) as contribution
    from totals
    -- a profit is told only where most costs are known
    where
        period_costed_demand >= {{ var('least_cost_coverage') }} * period_demand
        and base_costed_demand >= {{ var('least_cost_coverage') }} * base_demand
        and period_demand > 0
        and base_demand > 0
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

-- factors that multiply

-- orders that were placed in a recorded session: where trackers see a part of the visits, other orders over
-- sessions say nothing
session_totals as (

    select
        sides.comparison,
        {% for name in ['sessions', 'session_orders', 'session_sales'] -%}
        {% for side in ['period', 'base'] -%}
        cast(sum(case when sides.side = '{{ side }}' then funnel.{{ name }} else 0 end) as numeric(20, 4)) as {{ side }}_{{ name }}
        {{- ',' if not (loop.last and name == 'session_sales') }}
        {% endfor -%}
        {% endfor %}
    from sides
    inner join funnel
        on
            funnel.session_date >= sides.start_date
            and funnel.session_date <= sides.end_date
    group by sides.comparison

),

rated as (

    select
        totals.comparison,
        {% for side in ['period', 'base'] -%}
        cast(totals.{{ side }}_orders as numeric(20, 4)) as {{ side }}_orders,
        case when totals.{{ side }}_orders > 0 then totals.{{ side }}_total_sales / totals.{{ side }}_orders end
            as {{ side }}_order_value,
        case when totals.{{ side }}_orders > 0 then 0 else totals.{{ side }}_total_sales end as {{ side }}_orderless,
        session_totals.{{ side }}_sessions,
        session_totals.{{ side }}_session_orders / nullif(session_totals.{{ side }}_sessions, 0) as {{ side }}_conversion,
        session_totals.{{ side }}_session_sales / nullif(session_totals.{{ side }}_session_orders, 0)
            as {{ side }}_session_order_value,
        totals.{{ side }}_total_sales
        - case when session_totals.{{ side }}_session_orders > 0 then session_totals.{{ side }}_session_sales else 0 end
            as {{ side }}_sales_without_session{{ ',' if not loop.last }}
        {% endfor %}
    from totals
    left join session_totals
        on totals.comparison = session_totals.comparison

),

-- a value per order that a period without orders lacks is the other period's
factors as (

    select
        comparison,
        period_orders,
        base_orders,
        coalesce(period_order_value, base_order_value, 0) as period_order_value,
        coalesce(base_order_value, period_order_value, 0) as base_order_value,
        period_orderless,
        base_orderless,
        period_sessions,
        base_sessions,
        period_conversion,
        base_conversion,
        coalesce(period_session_order_value, base_session_order_value, 0) as period_session_order_value,
        coalesce(base_session_order_value, period_session_order_value, 0) as base_session_order_value,
        period_sales_without_session,
        base_sales_without_session
    from rated

),

factored as (

    select
        comparison,
        'orders_value' as decomposition,
        'orders' as driver,
        period_orders as driver_value,
        base_orders as driver_base_value,
        (period_orders - base_orders) * (period_order_value + base_order_value) / 2 as contribution
    from factors

    union all

    select
        comparison,
        'orders_value' as decomposition,
        'order_value' as driver,
        period_order_value as driver_value,
        base_order_value as driver_base_value,
        (period_order_value - base_order_value) * (period_orders + base_orders) / 2 as contribution
    from factors

    union all

    select
        comparison,
        'orders_value' as decomposition,
        'without_orders' as driver,
        period_orderless as driver_value,
        base_orderless as driver_base_value,
        period_orderless - base_orderless as contribution
    from factors

    {% set tree = ['sessions', 'conversion', 'session_order_value'] -%}
    {% for name in tree -%}
    {% set first, second = (tree | reject('equalto', name) | list) %}
    union all

    select
        comparison,
        'sessions_conversion_value' as decomposition,
        '{{ name }}' as driver,
        period_{{ name }} as driver_value,
        base_{{ name }} as driver_base_value,
        (period_{{ name }} - base_{{ name }})
        * (
            2 * base_{{ first }} * base_{{ second }}
            + 2 * period_{{ first }} * period_{{ second }}
            + base_{{ first }} * period_{{ second }}
            + period_{{ first }} * base_{{ second }}
        ) / 6 as contribution
    from factors
    where
        period_sessions > 0
        and base_sessions > 0
    {% endfor -%}

    union all

    select
        comparison,
        'sessions_conversion_value' as decomposition,
        'sales_without_session' as driver,
        period_sales_without_session as driver_value,
        base_sales_without_session as driver_base_value,
        period_sales_without_session - base_sales_without_session as contribution
    from factors
    where
        period_sessions > 0
        and base_sessions > 0

),

-- price, volume and mix

product_sides as (

    select
        sides.comparison,
        ledger.product_key,
        {% for side in ['period', 'base'] -%}
        sum(case when sides.side = '{{ side }}' and ledger.entry_type = 'sale' then ledger.quantity else 0 end) as {{ side }}_units,
        sum(case when sides.side = '{{ side }}' and ledger.entry_type = 'sale' then ledger.amount else 0 end) as {{ side }}_gross,
        sum(case when sides.side = '{{ side }}' and ledger.entry_type = 'discount' then -ledger.amount else 0 end)
            as {{ side }}_discount{{ ',' if not loop.last }}
        {% endfor %}
    from sides
    inner join ledger
        on
            ledger.event_date >= sides.start_date
            and ledger.event_date <= sides.end_date
    where sides.days <= {{ longest_for_products }}
    group by sides.comparison, ledger.product_key

),

product_kinds as (

    select
        product_sides.*,
        coalesce(products.category, 'Unknown') as category,
        case
            when product_sides.period_units > 0 and product_sides.base_units > 0 then 'both'
            when product_sides.period_units > 0 then 'new'
            when product_sides.base_units > 0 then 'vanished'
            else 'neither'
        end as product_kind,
        product_sides.period_gross - product_sides.period_discount as period_demand,
        product_sides.base_gross - product_sides.base_discount as base_demand
    from product_sides
    left join products
        on product_sides.product_key = products.product_key

),

unit_totals as (

    select
        comparison,
        sum(period_units) / sum(base_units) as unit_growth
    from product_kinds
    where product_kind = 'both'
    group by comparison

),

product_effects as (

    select
        product_kinds.*,
        base_demand * (unit_totals.unit_growth - 1) as volume_effect,
        (period_units - base_units * unit_totals.unit_growth) * base_demand / base_units as mix_effect,
        period_gross - period_units * base_gross / base_units as list_price_effect,
        -(period_discount - period_units * base_discount / base_units) as discount_effect
    from product_kinds
    inner join unit_totals
        on product_kinds.comparison = unit_totals.comparison
    where product_kind = 'both'

),

price_volume_mix as (

    {% for name in ['volume', 'mix', 'list_price', 'discount'] -%}
    select
        comparison,
        '{{ name }}' as driver,
        category as segment,
        {{ 'sum(period_units)' if name in ('volume', 'mix') else 'sum(period_gross)' if name == 'list_price' else '-sum(period_discount)' }}
            as driver_value,
        {{ 'sum(base_units)' if name in ('volume', 'mix') else 'sum(base_gross)' if name == 'list_price' else '-sum(base_discount)' }}
            as driver_base_value,
        sum({{ name }}_effect) as contribution
    from product_effects
    group by comparison, category

    union all

    {% endfor -%}

    select
        comparison,
        case product_kind
            when 'new' then 'new_products'
            when 'vanished' then 'vanished_products'
            else 'other'
        end as driver,
        category as segment,
        sum(period_demand) as driver_value,
        sum(base_demand) as driver_base_value,
        sum(period_demand - base_demand) as contribution
    from product_kinds
    where product_kind <> 'both'
    group by comparison, product_kind, category

    {% for name, column, sign in sales_parts if name in ('returns', 'shipping', 'tax') %}
    union all

    select
        totals.comparison,
        '{{ name }}' as driver,
        '(all)' as segment,
        {{ sign }} * totals.period_{{ name }} as driver_value,
        {{ sign }} * totals.base_{{ name }} as driver_base_value,
        {{ sign }} * (totals.period_{{ name }} - totals.base_{{ name }}) as contribution
    from totals
    inner join periods
        on totals.comparison = periods.comparison
    where periods.days <= {{ longest_for_products }}
    {% endfor %}

),

-- together

contributions as (

    select
        comparison,
        'total_sales' as metric_name,
        decomposition,
        driver,
        segment,
        driver_value,
        driver_base_value,
        contribution
    from partitioned

    union all

    select
        comparison,
        metric_name,
        decomposition,
        driver,
        segment,
        driver_value,
        driver_base_value,
        contribution
    from componented

    union all

    select
        comparison,
        'total_sales' as metric_name,
        decomposition,
        driver,
        '(all)' as segment,
        driver_value,
        driver_base_value,
        contribution
    from factored

    union all

    select
        comparison,
        'total_sales' as metric_name,
        'price_volume_mix' as decomposition,
        driver,
        segment,
        driver_value,
        driver_base_value,
        contribution
    from price_volume_mix

),

compared as (

    select
        contributions.comparison,
        contributions.metric_name,
        contributions.decomposition,
        contributions.driver,
        contributions.segment,
        contributions.driver_value,
        contributions.driver_base_value,
        round(contributions.contribution, 4) as rounded_contribution,
        case when contributions.metric_name = 'net_profit' then totals.period_net_profit else totals.period_total_sales end
            as metric_value,
        case when contributions.metric_name = 'net_profit' then totals.base_net_profit else totals.base_total_sales end
            as base_value
    from contributions
    inner join totals
        on contributions.comparison = totals.comparison

),

ranked as (

    select
        *,
        metric_value - base_value as change_value,
        row_number() over (
            partition by comparison, metric_name, decomposition
            order by abs(rounded_contribution) desc nulls last, driver asc, segment asc
        ) as driver_rank,
        sum(rounded_contribution) over (partition by comparison, metric_name, decomposition) as rounded_total
    from compared

),

-- the largest takes what rounding left over
exact as (

    select
        *,
        case when driver_rank = 1 then change_value - rounded_total else 0 end as rounding_amount
    from ranked

),

final as (

    select
        {{ surrogate_key(['exact.comparison', 'exact.metric_name', 'exact.decomposition', 'exact.driver', 'exact.segment']) }}
            as driver_key,
        exact.comparison,
        periods.base_kind,
        exact.metric_name,
        exact.decomposition,
        exact.driver,
        exact.segment,
        cast(exact.driver_value as numeric(20, 6)) as driver_value,
        cast(exact.driver_base_value as numeric(20, 6)) as driver_base_value,
        cast(exact.rounded_contribution + exact.rounding_amount as {{ type_money() }}) as effect_amount,
        cast(exact.rounding_amount as {{ type_money() }}) as rounding_amount,
        cast(
            case
                when exact.change_value <> 0
                    then (exact.rounded_contribution + exact.rounding_amount) / exact.change_value
            end as numeric(20, 6)
        ) as share_of_change,
        cast(exact.metric_value as {{ type_money() }}) as metric_value,
        cast(exact.base_value as {{ type_money() }}) as base_value,
        cast(exact.change_value as {{ type_money() }}) as change_value,
        cast(exact.driver_rank as {{ dbt.type_int() }}) as driver_rank,
        periods.base_start_date >= bounds.first_date as is_base_complete,
        periods.period_start_date,
        periods.period_end_date,
        periods.base_start_date,
        periods.base_end_date
    from exact
    inner join periods
        on exact.comparison = periods.comparison
    cross join bounds

)

select * from final
