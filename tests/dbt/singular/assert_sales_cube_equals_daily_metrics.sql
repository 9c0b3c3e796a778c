-- The cube, added up to store and day, is the daily roll-up, in every measure that both have and on both bases.
{{ config(meta={'untracked': {
    'agg_daily_metrics': 'recon_money holds it against the ledger on each day that changed',
}}) }}
{% set pairs = {
    'gross_sales_amount': 'gross_sales_amount',
    'discount_amount': 'discount_amount',
    'returns_amount': 'returns_amount',
    'net_sales_amount': 'net_sales_amount',
    'shipping_amount': 'shipping_amount',
    'tax_amount': 'tax_amount',
    'total_sales_amount': 'total_sales_amount',
    'cogs_amount': 'cogs_amount',
    'gross_profit_amount': 'gross_profit_amount',
    'variable_cost_amount': 'variable_cost_amount',
    'cm2_amount': 'cm2_amount',
    'demand_amount': 'demand_amount',
    'costed_demand_amount': 'costed_demand_amount',
    'units': 'units',
    'returned_units': 'returned_units',
    'orders': 'orders',
    'new_customers': 'new_customers',
    'placed_orders': 'placed_orders',
    'cancelled_orders': 'cancelled_orders',
    'order_basis_returns_amount': 'order_basis_returns_amount',
    'order_basis_net_sales_amount': 'order_basis_net_sales_amount',
    'order_basis_total_sales_amount': 'order_basis_total_sales_amount',
} %}

with

cube as (

    select
        store_id,
        sales_date,
        {% for name in pairs -%}
        sum({{ name }}) as {{ name }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('agg_sales_cube') }}
    where {{ is_tested('day', 'sales_date') }}
    group by store_id, sales_date

),

daily as (

    select * from {{ ref('agg_daily_metrics') }}
    where {{ is_tested('day', 'metric_date') }}

)

select
    daily.store_id,
    daily.metric_date,
    cube.store_id as cube_store_id,
    cube.sales_date
from daily
full outer join cube
    on
        daily.store_id = cube.store_id
        and daily.metric_date = cube.sales_date
where
    {% for cube_name, daily_name in pairs.items() -%}
    {{ 'or ' if not loop.first }}coalesce(cube.{{ cube_name }}, 0) <> coalesce(daily.{{ daily_name }}, 0)
    {% endfor %}
