-- Every countable order has credit of exactly 1 by every model, and its amounts are shared out to the cent.
with

orders as (

    select * from {{ ref('fct_orders') }}
    where
        is_countable
        and {{ is_tested('order', 'order_id') }}

),

models as (

    {% for model in attribution_models() -%}
    select '{{ model }}' as attribution_model
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

attributed as (

    select
        order_id,
        attribution_model,
        sum(credit) as credit,
        sum(net_sales_amount) as net_sales_amount,
        sum(total_sales_amount) as total_sales_amount,
        sum(gross_profit_amount) as gross_profit_amount,
        sum(cm2_amount) as cm2_amount,
        sum(demand_amount) as demand_amount,
        min(case when credit > 0 then 1 else 0 end) as earns_only
    from {{ ref('fct_order_attribution') }}
    where {{ is_tested('order', 'order_id') }}
    group by order_id, attribution_model

),

expected as (

    select
        orders.*,
        models.attribution_model
    from orders
    cross join models

)

select
    coalesce(expected.order_id, attributed.order_id) as order_id,
    coalesce(expected.attribution_model, attributed.attribution_model) as attribution_model,
    attributed.credit,
    attributed.net_sales_amount,
    attributed.cm2_amount
from expected
full outer join attributed
    on
        expected.order_id = attributed.order_id
        and expected.attribution_model = attributed.attribution_model
where
    expected.order_id is null
    or attributed.order_id is null
    or attributed.credit <> 1
    or attributed.earns_only <> 1
    or attributed.net_sales_amount is distinct from expected.net_sales_amount
    or attributed.total_sales_amount is distinct from expected.total_sales_amount
    or attributed.gross_profit_amount is distinct from expected.gross_profit_amount
    or attributed.cm2_amount is distinct from expected.cm2_amount
    or attributed.demand_amount is distinct from expected.gross_sales_amount - expected.discount_amount
