"""The commonest questions of a dashboard: none reads all of a fact table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from loaders.settings import Settings
from serving.metrics import Filter, MetricStore, Question

EIGHT = (
    "total_sales", "net_sales", "orders", "average_order_value", "new_customers", "gross_margin",
    "discount_rate", "net_units",
)  # fmt: skip
MONTH = {"period": "last_month", "compare": "prior_year"}
COMMONEST = {
    "headline cards": Question(EIGHT, **MONTH),
    "cards by country": Question(EIGHT, ("country",), **MONTH),
    "cards by channel": Question(EIGHT, ("channel",), **MONTH),
    "cards by device": Question(EIGHT, ("device",), **MONTH),
    "cards of one country": Question(EIGHT, filters=(Filter("country", ("GB",)),), **MONTH),
    "profit": Question(("net_profit", "cm2", "cm3", "total_cost", "net_sales"), **MONTH),
    "profit by month": Question(("net_sales", "net_profit"), grain="month", period="last_365_days"),
    "sales by day": Question(("total_sales", "orders"), grain="day", period="last_90_days"),
    "sales by week and channel": Question(
        ("net_sales",), ("channel",), grain="week", period="last_90_days"
    ),
    "sales by category": Question(("net_sales", "gross_profit"), ("category",), **MONTH),
    "new and returning": Question(
        ("new_customer_revenue", "returning_customer_revenue", "new_customers"), **MONTH
    ),
    "top products": Question(("net_sales", "net_units"), ("product_name",), limit=20, **MONTH),
    "returns by product": Question(("return_rate",), ("product_name",), limit=20, **MONTH),
    "best day": Question(
        ("total_sales",), grain="day", period="last_year", order=("-total_sales",), limit=1
    ),
    "customers": Question(("active_customers", "returning_customer_rate"), **MONTH),
    "payment methods": Question(("orders", "net_sales"), ("payment_method",), **MONTH),
    "advertising": Question(("marketing_spend", "blended_roas", "cac", "acos"), **MONTH),
    "campaigns": Question(("roas", "campaign_revenue"), ("campaign_name",), **MONTH),
    "funnel": Question(
        ("sessions", "sessions_with_view", "sessions_with_cart", "conversion_rate"), **MONTH
    ),
    "orders of the month, order basis": Question(
        ("net_sales", "returns", "orders"), ("store",), basis="order", **MONTH
    ),
}
# what grows with the shop: never read as a whole
LARGE = {"fct_sales_ledger", "fct_order_items", "fct_orders", "fct_sessions", "fct_payments"}


@pytest.fixture(scope="module")
def planner(warehouse: Settings) -> Iterator[psycopg.Connection]:
    """A connection on which a table is read as a whole only where there is no other way.

    In a shop as tiny as this one, reading all is always cheapest: what is asked is whether an
    index or a roll-up is there.
    """
    with psycopg.connect(**warehouse.postgres(), autocommit=True) as connection:
        connection.execute("set enable_seqscan to off")
        yield connection


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def test_there_are_twenty() -> None:
    assert len(COMMONEST) == 20


@pytest.mark.parametrize("name", COMMONEST)
def test_no_common_question_reads_a_whole_fact_table(store: MetricStore, planner, name) -> None:
    statements = store.ask(COMMONEST[name]).statements
    assert statements
    for statement in statements:
        plan = planner.execute(f"explain (format json) {statement.sql}", statement.parameters)
        found = list(nodes(plan.fetchone()[0][0]["Plan"]))
        whole = {
            node["Relation Name"]
            for node in found
            if node["Node Type"] == "Seq Scan"
            or (node["Node Type"].startswith("Index") and "Index Cond" not in node)
        } & LARGE
        # an index read from end to end is a whole table too, unless a join looks rows up in it
        looked_up = {
            node["Relation Name"]
            for node in found
            if node.get("Relation Name") in LARGE and "Index Cond" in node
        }
        assert not whole - looked_up, (name, whole, statement.sql)


@pytest.mark.parametrize("name", [n for n in COMMONEST if n.startswith("cards")])
def test_cards_come_from_roll_ups_alone(store: MetricStore, name: str) -> None:
    for statement in store.ask(COMMONEST[name]).statements:
        assert set(statement.sources.values()) <= {"agg_daily_metrics", "agg_sales_cube"}
