"""The commonest questions of a dashboard: none reads all of a fact table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from benchmarks.metrics.questions import COMMONEST
from loaders.settings import Settings
from serving.metrics import MetricStore

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
