"""The sales cube, the cost stack and the written findings, over the tiny shop's warehouse."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import combinations
from typing import Any

import psycopg
import pytest
from databases import create_database, drop_database
from dbt.cli.main import dbtRunner
from psycopg import sql
from shop import Shop

from loaders.settings import Settings

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]

# --- the cube ------------------------------------------------------------------------------------

# dimension of the cube -> the same thing, said from an order's row and its dimensions
ORDER_DIMENSIONS = {
    "store_id": "orders.store_id",
    "country_code": "coalesce(places.country_code, 'unknown')",
    "sales_channel": "channels.sales_channel",
    "marketing_channel": "channels.marketing_channel",
    "device": "coalesce(orders.device, 'unknown')",
    "payment_method": "methods.payment_method",
    "customer_type": (
        "case orders.is_new_customer when true then 'new' when false then 'returning'"
        " else 'unknown' end"
    ),
}
CATEGORY = "case when ledger.order_item_key is null then '(order)' else products.category end"
JOINS = """
    inner join core.dim_geography as places using (geography_key)
    inner join core.dim_channels as channels using (channel_key)
    inner join core.dim_payment_methods as methods using (payment_method_key)
"""
# measure of the cube -> the types of ledger entries that it adds up, and the sign
MONEY = {
    "discount_amount": ("'discount'", -1),
    "returns_amount": ("'return'", -1),
    "net_sales_amount": ("'sale', 'discount', 'return'", 1),
    "shipping_amount": ("'shipping'", 1),
    "tax_amount": ("'tax'", 1),
    "total_sales_amount": ("'sale', 'discount', 'return', 'shipping', 'tax'", 1),
    "cogs_amount": ("'cogs', 'cogs_return'", -1),
}
ORDER_MONEY = (
    "discount_amount", "returns_amount", "net_sales_amount", "shipping_amount", "tax_amount",
    "total_sales_amount", "cogs_amount", "gross_profit_amount", "variable_cost_amount",
    "cm2_amount",
)  # fmt: skip


def by_group(rows: list[tuple[Any, ...]], keys: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Rows by their first columns; groups of zeros alone say nothing and are left out."""
    return {row[:keys]: row[keys:] for row in rows if any(row[keys:])}


@pytest.mark.parametrize("basis", ["event", "order"])
@pytest.mark.parametrize("dimension", [*ORDER_DIMENSIONS, "category"])
def test_the_cube_is_the_ledger_under_every_dimension(
    shop: Shop, dimension: str, basis: str
) -> None:
    prefix = "" if basis == "event" else "order_basis_"
    said = {**ORDER_DIMENSIONS, "category": CATEGORY}[dimension]
    cube = shop.rows(
        f"select {dimension}, date_trunc('month', sales_date),"
        f" {', '.join(f'sum({prefix}{name})' for name in MONEY)}"
        " from reporting.agg_sales_cube group by 1, 2"
    )
    measures = ", ".join(
        f"coalesce(sum({sign} * amount) filter (where entry_type in ({types})), 0)"
        for types, sign in MONEY.values()
    )
    ledger = shop.rows(
        f"select {said}, date_trunc('month', ledger.{basis}_date), {measures}"
        " from finance.fct_sales_ledger as ledger"
        f" inner join core.fct_orders as orders using (order_id) {JOINS}"
        " inner join core.dim_products as products"
        " on ledger.product_key = products.product_key"
        " where ledger.is_countable group by 1, 2"
    )
    assert len(cube) > 10
    assert by_group(cube, 2) == by_group(ledger, 2)


@pytest.mark.parametrize(
    "dimensions", [*combinations(ORDER_DIMENSIONS, 1), ("store_id", "customer_type", "device")]
)
def test_the_cube_is_the_orders_under_every_dimension(
    shop: Shop, dimensions: tuple[str, ...]
) -> None:
    """Counts and, on the order basis, money up to CM2: the cube's rows add up to the orders'."""
    cube = shop.rows(
        f"select {', '.join(dimensions)}, sum(orders), sum(new_customers),"
        f" {', '.join(f'sum(order_basis_{name})' for name in ORDER_MONEY)}"
        f" from reporting.agg_sales_cube group by {', '.join(dimensions)}"
    )
    orders = shop.rows(
        f"select {', '.join(ORDER_DIMENSIONS[name] for name in dimensions)},"
        " count(*) filter (where is_countable), count(*) filter (where is_new_customer),"
        f" {', '.join(f'sum(coalesce({name}, 0))' for name in ORDER_MONEY)}"
        f" from core.fct_orders as orders {JOINS}"
        " where is_money_countable"
        f" group by {', '.join(str(n + 1) for n in range(len(dimensions)))}"
    )
    assert by_group(cube, len(dimensions)) == by_group(orders, len(dimensions))


# --- findings ------------------------------------------------------------------------------------


def test_every_finding_rests_on_a_number_that_can_be_read_again(shop: Shop) -> None:
    findings = shop.rows(
        "select insight_type, title, insight_text, evidence_model, evidence_filter,"
        " evidence_column, metric_value from reporting.agg_insights"
    )
    assert len(findings) >= 3
    for kind, title, text, model, condition, column, value in findings:
        found = shop.rows(f"select {column} from reporting.{model} where {condition}")
        assert len(found) == 1, (kind, found)
        assert abs(Decimal(found[0][0]) - value) < Decimal("0.00001"), kind
        is_rate = kind in ("retention", "cost_coverage")
        number = value * 100 if is_rate else value
        digits = 1 if is_rate else 0
        said = f"{abs(round(number + Decimal('1e-9'), digits)):.{digits}f}"
        assert said in text or said in title, (kind, said, text)


def test_three_findings_of_three_kinds_are_for_the_first_page(shop: Shop) -> None:
    kinds = shop.rows(
        "select insight_type from reporting.agg_insights where is_for_ceo order by insight_rank"
    )
    assert len(kinds) == len(set(kinds)) == 3


# --- a shop that entered its costs and plans -----------------------------------------------------

RULES = [
    # rule, type, store, channel, method, from, until, an event, a unit, rate
    ("pick", "fulfilment", None, None, None, "2024-01-01", None, "1.50", "0.20", None),
    ("pickup", "fulfilment", None, None, "pickup", "2024-01-01", None, "0.30", None, None),
    ("box-1", "packaging", None, None, None, "2024-01-01", "2025-06-01", "0.40", None, None),
    ("box-2", "packaging", None, None, None, "2025-06-01", None, "0.55", None, None),
    ("back", "return_handling", None, None, None, "2024-01-01", None, "2.00", "0.50", None),
]
# all that lies between what was entered and the pages that show it
CHANGED = [
    "int_order_costs+,+agg_metric_drivers",
    "int_order_costs+,+agg_target_pacing",
    "int_overheads_daily+,+agg_metric_drivers",
    "agg_period_growth",
    "fct_overheads",
    "fct_targets",
]


@pytest.fixture(scope="module")
def planned_shop(
    warehouse: Settings, dbt_environment: Callable[[str], list[str]]
) -> Iterator[tuple[Shop, Any]]:
    """A copy of the warehouse whose seeds were filled, built again, and the result of its tests."""
    settings = warehouse.model_copy(update={"postgres_db": f"planned_{secrets.token_hex(6)}"})
    create_database(warehouse, settings.postgres_db, warehouse.postgres_db)
    with psycopg.connect(**settings.postgres(), autocommit=True) as connection:
        connection.cursor().executemany(
            "insert into reference.fee_rules (rule_id, cost_type, store_id, sales_channel, method,"
            " valid_from, valid_until, amount_per_event, amount_per_unit, rate)"
            f" values ({', '.join(['%s'] * 10)})",
            RULES,
        )
        connection.execute(
            "insert into reference.overheads (overhead, valid_from, amount_per_month)"
            " values ('rent', '2025-01-01', 310)"
        )
        connection.execute(
            "insert into reference.targets (metric_name, period_grain, period_start_date,"
            " scope_type, scope_value, target_value) values"
            " ('total_sales', 'month', '2025-12-01', 'shop', null, 20000),"
            " ('orders', 'month', '2025-12-01', 'country', 'GB', 100)"
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTGRES_DB", settings.postgres_db)
        options = dbt_environment(settings.postgres_db)
        built = dbtRunner().invoke(["run", "--full-refresh", "--select", *CHANGED, *options])
        assert built.success, built.exception
        tested = dbtRunner().invoke(
            [
                "test",
                *("--select", *CHANGED, "--exclude", "test_type:unit"),
                *("--indirect-selection", "cautious", *options),
            ]
        )
    yield Shop(settings, warehouse.home / "store" / "xs-42"), tested
    drop_database(settings, settings.postgres_db)


def test_rules_put_their_cost_on_the_day_that_they_held(planned_shop: tuple[Shop, Any]) -> None:
    shop, _ = planned_shop
    expected = shop.rows(
        "select sum(case when shipping_method = 'pickup' then 0.30"
        " else 1.50 + 0.20 * units end),"
        " sum(case when order_date < '2025-06-01' then 0.40 else 0.55 end)"
        " from core.fct_orders as orders inner join"
        " (select order_id, sum(quantity) filter (where measure = 'sale') as units,"
        " count(*) filter (where measure = 'sale') as lines"
        " from core.fct_order_items group by order_id) as items using (order_id)"
        " where is_countable and items.lines > 0"
        " and (not is_cancelled or shipped_at is not null)".replace("* units", "* items.units")
    )
    assert expected == shop.rows(
        "select sum(fulfilment_cost_amount), sum(packaging_cost_amount) from core.fct_orders"
    )
    handled = shop.one(
        "select sum(2.00 + 0.50 * quantity) from (select refund_key, sum(quantity) as quantity"
        " from core.fct_refund_lines inner join core.fct_orders as orders using (order_id)"
        " where orders.is_countable and measure = 'return'"
        " and (is_restocked or restock = 'damaged')"
        " group by refund_key) as refunds"
    )
    assert handled > 0
    assert handled == shop.one("select sum(return_handling_cost_amount) from core.fct_orders")


def test_what_was_entered_reaches_every_step_of_the_cost_stack(
    planned_shop: tuple[Shop, Any], shop: Shop
) -> None:
    planned, tested = planned_shop
    # the identities between ledger, orders, days and cube, now with every kind of cost in them
    failed = [
        result.node.name for result in tested.result if result.status not in ("pass", "success")
    ]
    assert failed == []
    statement = (
        "select sum(cm2_amount), sum(cm3_amount), sum(net_profit_amount), sum(overhead_amount),"
        " sum(fulfilment_cost_amount + packaging_cost_amount + return_handling_cost_amount)"
        " from reporting.agg_daily_metrics"
    )
    before, after = shop.rows(statement)[0], planned.rows(statement)[0]
    added = after[4]
    assert added > 100
    assert after[3] == 3720  # twelve months of 310
    assert (before[0] - after[0], before[1] - after[1]) == (added, added)
    assert before[2] - after[2] == added + 3720


def test_a_plan_takes_the_place_of_the_year_before(planned_shop: tuple[Shop, Any]) -> None:
    shop, _ = planned_shop
    actual = shop.rows(
        "select sum(total_sales_amount), sum(orders) filter (where country_code = 'GB')"
        " from reporting.agg_sales_cube where sales_date between '2025-12-01' and '2025-12-31'"
    )[0]
    paced = shop.rows(
        "select target_value, target_to_date, actual_to_date, attainment"
        " from reporting.agg_target_pacing where target_source = 'plan' order by target_value desc"
    )
    assert paced == [
        (20000, 20000, actual[0], round(actual[0] / 20000, 6)),
        (100, 100, actual[1], round(Decimal(actual[1]) / 100, 6)),
    ]


# --- views of other systems ----------------------------------------------------------------------


def test_every_table_of_other_systems_is_there_and_has_rows(shop: Shop) -> None:
    tables = {
        "bi": "customers orders products order_items campaigns reviews daily_metrics",
        "production": "customers products transactions transaction_items",
        "staging": "customers products transactions transaction_items",
        "warehouse": (
            "dim_customers dim_products dim_date dim_payment_method fact_sales agg_daily_sales"
            " agg_product_performance agg_customer_metrics"
        ),
        "sales_analytics": "customer_summary product_performance",
    }
    with psycopg.connect(**shop.settings.postgres()) as connection:
        for schema, names in tables.items():
            for name in names.split():
                counted = connection.execute(
                    sql.SQL("select count(*) from {}").format(sql.Identifier(schema, name))
                ).fetchone()
                assert counted is not None
                assert counted[0] > 0, (schema, name)
