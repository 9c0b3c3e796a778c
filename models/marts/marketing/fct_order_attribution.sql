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
        'touched_also': ["select order_id from {{ ref('int_order_paths') }} where order_month in {{ touched('month') }}"],
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

credited as (

    {% for model in attribution_models() %}
    select
        order_id,
        touch_key,
        '{{ model }}' as attribution_model,
        touch_position,
        {% if model == 'first' -%}
        case when touch_position = 1 then 1.0 else 0 end as credit
        {%- elif model == 'last' -%}
        case when touch_position = touch_count then 1.0 else 0 end as credit
        {%- elif model == 'last_non_direct' -%}
        case when non_direct_rank = 1 then 1.0 else 0 end as credit
        {%- elif model == 'linear' -%}
        1.0 / touch_count as credit
        {%- elif model == 'time_decay' -%}
        decay_weight / decay_weights as credit
        {%- elif model == 'position' -%}
        case
            when touch_count = 1 then 1.0
            when touch_count = 2 then 0.5
            when touch_position in (1, touch_count) then 0.4
            else 0.2 / (touch_count - 2)
        end as credit
        {%- elif model == 'markov' -%}
        -- where no channel of the path was ever missed, all touches are alike
        case when markov_weights > 0 then markov_weight / markov_weights else 1.0 / touch_count end as credit
        {%- endif %}
    from shared
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

rounded as (

    select
        order_id,
        touch_key,
        attribution_model,
        touch_position,
        round(cast(credit as numeric(20, 12)), 6) as credit
    from credited

),

earning as (

    select
        *,
        row_number() over (
            partition by order_id, attribution_model
            order by touch_position desc nulls last
        ) as rank_from_last,
        sum(credit) over (partition by order_id, attribution_model) as credits
    from rounded
    where credit > 0

),

exact as (

    select
        order_id,
        touch_key,
        attribution_model,
        rank_from_last,
        case when rank_from_last = 1 then 1 - (credits - credit) else credit end as credit
    from earning

),

shares as (

    select
        exact.order_id,
        exact.touch_key,
        exact.attribution_model,
        exact.rank_from_last,
        exact.credit,
        {% for amount in amounts -%}
        orders.{{ amount }} as order_{{ amount }},
        round(orders.{{ amount }} * exact.credit, 4) as {{ amount }},
        {% endfor -%}
        orders.is_new_customer
    from exact
    inner join orders
        on exact.order_id = orders.order_id

),

settled as (

    select
        order_id,
        touch_key,
        attribution_model,
        credit,
        {% for amount in amounts -%}
        case
            when rank_from_last = 1
                then order_{{ amount }}
                - (sum({{ amount }}) over (partition by order_id, attribution_model) - {{ amount }})
            else {{ amount }}
        end as {{ amount }},
        {% endfor -%}
        is_new_customer
    from shares

),

final as (

    select
        {{ surrogate_key(['settled.order_id', 'settled.touch_key', 'settled.attribution_model']) }} as attribution_key,
        settled.order_id,
        settled.touch_key,
        settled.attribution_model,
        paths.customer_key,
        paths.touch_type,
        paths.campaign_id,
        paths.marketing_channel,
        {{ attribution_window_days() }} as window_days,
        paths.touch_position,
        paths.touch_count,
        cast(settled.credit as numeric(9, 6)) as credit,
        {% for amount in amounts -%}
        cast(settled.{{ amount }} as {{ type_money() }}) as {{ amount }},
        {% endfor -%}
        settled.is_new_customer,
        paths.order_date,
        paths.touched_at
    from settled
    inner join paths
        on
            settled.order_id = paths.order_id
            and settled.touch_key = paths.touch_key

)

select * from final
