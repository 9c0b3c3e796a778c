"""The documents, read by README's definitions, give the truth to the penny."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from store_books import MEASURES, Books, business_day, documents, exclusion, id_text

Truth = Callable[[str], Any]


@pytest.fixture(scope="module")
def books(xs: Path) -> Books:
    return Books(partial(documents, xs))


@pytest.mark.parametrize("measure", MEASURES)
def test_total(books: Books, truth: Truth, measure: str) -> None:
    assert books.total(measure) == Decimal(str(truth("totals")[measure]))


@pytest.mark.parametrize("measure", MEASURES)
def test_each_store_and_day(books: Books, truth: Truth, measure: str) -> None:
    daily = {(row["store_id"], date.fromisoformat(row["date"])): row for row in truth("daily")}
    assert set(books.sums[measure]) <= set(daily)
    for key, row in daily.items():
        assert books.sums[measure].get(key, Decimal(0)) == Decimal(str(row[measure])), key


def test_identities_of_the_truth(truth: Truth) -> None:
    for row in [*truth("daily"), *truth("monthly"), truth("totals")]:
        value = {k: Decimal(row[k]) for k in ("gross_sales", "discounts", "returns", "net_sales")}
        net = value["gross_sales"] - value["discounts"] - value["returns"]
        assert value["net_sales"] == net
        assert Decimal(row["total_sales"]) == net + Decimal(row["shipping"]) + Decimal(row["tax"])
    months = sum(Decimal(row["total_sales"]) for row in truth("monthly"))
    assert months == Decimal(truth("totals")["total_sales"])


def test_orders_that_do_not_count(books: Books, truth: Truth, xs: Path) -> None:
    expected = dict(truth("totals")["excluded_orders"])
    assert expected.pop("deleted") == len(
        [x for x in truth("flaws")["03_deletes"]["hard_deleted"] if x["collection"] == "orders"]
    )
    assert dict(books.excluded) == expected
    with (xs / "truth" / "orders.csv").open(newline="") as file:
        rows = {row["order_no"]: row for row in csv.DictReader(file)}
    assert len(rows) == 1_040
    for order in books.orders:
        row = rows[order["order_no"]]
        assert (exclusion(order) or "") == row["exclusion_reason"]
        assert business_day(order["placed_at"]).isoformat() == row["order_date"]
        assert id_text(order["_id"]) == row["order_id"]


def test_counts_of_documents(truth: Truth, xs: Path) -> None:
    for name, expected in truth("counts")["documents"].items():
        ids = [id_text(doc["_id"]) for doc in documents(xs, name)]
        assert len(ids) == len(set(ids)) == expected, name
        assert expected > 0, name


def test_people_and_their_orders(truth: Truth, xs: Path) -> None:
    """Every order leads to one person, by account or by guest order; nobody buys when dead."""
    owner: dict[str, int] = {}
    for person in truth("customers"):
        owner |= dict.fromkeys(person["user_ids"], person["person"])
    died = {person["person"]: person["died_at"] for person in truth("customers")}
    with (xs / "truth" / "orders.csv").open(newline="") as file:
        rows = {row["order_id"]: row for row in csv.DictReader(file)}
    orders: dict[int, int] = defaultdict(int)
    for row in rows.values():
        person = int(row["person"])
        orders[person] += 1
        if died[person] is not None:
            assert row["order_date"] <= died[person][:10] or orders[person] == 1
    assert {p["person"]: p["orders"] for p in truth("customers")} == dict(orders)
    for order in documents(xs, "orders"):
        row = rows.get(id_text(order["_id"]))
        if row is None:
            continue  # a duplicate
        if order["user_id"] is None:
            assert row["is_guest"] == "true"
            assert "guest" in order
        else:
            assert owner[str(order["user_id"]) if not str(order["user_id"]).startswith("usr")
                         else f'"{order["user_id"]}"'] == int(row["person"])  # fmt: skip
    guests = {x for person in truth("identity") for x in person["guest_orders"]}
    assert guests <= {x for x, row in rows.items() if row["is_guest"] == "true"}


def test_campaigns_claim_more_than_they_cause(truth: Truth) -> None:
    rows = truth("campaigns")
    caused = sum(row["incremental_orders"] for row in rows)
    assert 0 < caused < sum(row["touched_orders"] for row in rows)
    assert all(row["platform_conversions"] >= row["touched_orders"] for row in rows)
    assert sum(Decimal(row["platform_revenue"]) for row in rows) > sum(
        Decimal(row["incremental_net"]) for row in rows
    )


def test_campaign_days_are_what_the_truth_says(truth: Truth, xs: Path) -> None:
    claimed: dict[str, int] = defaultdict(int)
    spend: dict[str, Decimal] = defaultdict(Decimal)
    for day in documents(xs, "campaign_daily"):
        claimed[str(day["campaign_id"])] += day["platform_conversions"]
        spend[str(day["campaign_id"])] += day["spend"].to_decimal()
    for row in truth("campaigns"):
        assert claimed[row["campaign_id"]] == row["platform_conversions"]
        assert spend[row["campaign_id"]] == Decimal(row["spend"])


def test_published_facts(truth: Truth) -> None:
    """Capability A230: electronics lead, months grow, few customers bring most, digital pays."""
    facts = truth("facts")
    assert facts["top_category"] == "Electronics"
    assert facts["average_month_on_month_growth"] > 0
    assert facts["share_of_best_fifth_of_customers"] > 0.5
    assert facts["share_of_digital_payments"] > 0.7
