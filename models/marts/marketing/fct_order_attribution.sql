-- One row per countable order, touch and attribution model, where the touch earns something by the model.
--
-- Credits of an order and model add up to exactly 1, and their amounts to the order's: the last touch
-- takes what rounding leaves.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['attribution_key'],
    meta={
        'entity': 'order',
        'entity_column': 'order_id',
        'touches': {'customer': 'customer_key', 'day': 'order_date', 'campaign': 'campaign_id'},
        'touched_also': ["select order_id from {{ ref('int_order_paths') }} where order_month in {{ touched('month') }} and touch_count > 1"],
    },
) }}
{% set half_life_days = 7 %}
{% set amounts = [
    'net_sales_amount', 'total_sales_amount', 'gross_profit_amount', 'cm2_amount', 'demand_amount',
    'costed_demand_amount',
] %}

with

paths as (

    select * from {{ ref('int_order_paths') }}
    where {{ is_touched('order_id') }}

),

weights as (

    select * from {{ ref('int_markov_weights') }}

),

orders as (

    select
        order_id,
        is_new_customer,
        net_sales_amount,
        total_sales_amount,
        gross_profit_amount,
        cm2_amount,
        gross_sales_amount - discount_amount as demand_amount,
        round((gross_sales_amount - discount_amount) * coalesce(cost_coverage, 0), 4) as costed_demand_amount
    from {{ ref('fct_orders') }}
    where
        is_countable
        and {{ is_touched('order_id') }}

),

weighed as (

    select
        paths.*,
        coalesce(weights.weight, 0) as markov_weight,
        power(cast(0.5 as numeric(20, 10)), paths.seconds_before / ({{ half_life_days }} * 86400.0)) as decay_weight
    from paths
    left join weights
        on
            paths.marketing_channel = weights.marketing_channel
            and paths.order_month = weights.path_month

),

shared as (

    select
        *,
        sum(markov_weight) over (partition by order_id) as markov_weights,
        sum(decay_weight) over (partition by order_id) as decay_weights
    from weighed

),

-- a column for each model: there is one row per touch until the last step but one
credited as (

    select
        shared.*,
        case when touch_position = 1 then 1.0 else 0 end as first_credit,
        case when touch_position = touch_count then 1.0 else 0 end as last_credit,
        case when non_direct_rank = 1 then 1.0 else 0 end as last_non_direct_credit,
        1.0 / touch_count as linear_credit,
        decay_weight / decay_weights as time_decay_credit,
        case
            when touch_count = 1 then 1.0
            when touch_count = 2 then 0.5
            when touch_position in (1, touch_count) then 0.4
            else 0.2 / (touch_count - 2)
        end as position_credit,
        -- where no channel of the path was ever missed, all touches are alike
        case when markov_weights > 0 then markov_weight / markov_weights else 1.0 / touch_count end as markov_credit
    from shared

),

rounded as (

    select
        order_id,
        customer_key,
        touch_key,
        touch_type,
        campaign_id,
        marketing_channel,
        touch_position,
        touch_count,
        {% for model in attribution_models() -%}
        round(cast({{ model }}_credit as numeric(20, 12)), 6) as {{ model }}_credit,
        {% endfor -%}
        order_date,
        touched_at
    from credited

),

-- the last touch that earns anything by a model
closed as (

    select
        *,
        {% for model in attribution_models() -%}
        sum({{ model }}_credit) over (partition by order_id) as {{ model }}_credits,
        max(case when {{ model }}_credit > 0 then touch_position end) over (partition by order_id)
        = touch_position as is_last_{{ model }}{{ ',' if not loop.last }}
        {% endfor %}
    from rounded

),

exact as (

    {% for model in attribution_models() %}
    select
        order_id,
        customer_key,
        touch_key,
        touch_type,
        campaign_id,
        marketing_channel,
        touch_position,
        touch_count,
        '{{ model }}' as attribution_model,
        case
            when is_last_{{ model }} then 1 - ({{ model }}_credits - {{ model }}_credit) else {{ model }}_credit
        end as credit,
        is_last_{{ model }} as is_last,
        {{ model }}_credit = {{ model }}_credits as is_only,
        order_date,
        touched_at
    from closed
    where {{ model }}_credit > 0
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

shares as (

    select
        exact.*,
        {% for amount in amounts -%}
        orders.{{ amount }} as order_{{ amount }},
        round(orders.{{ amount }} * exact.credit, 4) as {{ amount }},
        {% endfor -%}
        orders.is_new_customer
    from exact
    inner join orders
        on exact.order_id = orders.order_id

),

-- most orders and models have one touch that earns, which takes everything and need not be sorted
settled as (

    {% for is_only in [true, false] -%}
    select
        order_id,
        customer_key,
        touch_key,
        touch_type,
        campaign_id,
        marketing_channel,
        touch_position,
        touch_count,
        attribution_model,
        credit,
        {% for amount in amounts -%}
        {% if is_only -%}
        order_{{ amount }} as {{ amount }},
        {% else -%}
        case
            when is_last
                then order_{{ amount }}
                - (sum({{ amount }}) over (partition by order_id, attribution_model) - {{ amount }})
            else {{ amount }}
        end as {{ amount }},
        {% endif -%}
        {% endfor -%}
        is_new_customer,
        order_date,
        touched_at
    from shares
    where {{ '' if is_only else 'not ' }}is_only
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

final as (

    select
        {{ surrogate_key(['order_id', 'touch_key', 'attribution_model']) }} as attribution_key,
        order_id,
        touch_key,
        attribution_model,
        customer_key,
        touch_type,
        campaign_id,
        marketing_channel,
        {{ attribution_window_days() }} as window_days,
        touch_position,
        touch_count,
        cast(credit as numeric(9, 6)) as credit,
        {% for amount in amounts -%}
        cast({{ amount }} as {{ type_money() }}) as {{ amount }},
        {% endfor -%}
        is_new_customer,
        order_date,
        touched_at
    from settled

)

select * from final
