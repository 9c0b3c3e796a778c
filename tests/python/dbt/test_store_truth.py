"""The marts against the answers that the generator planted, to the cent."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest
from shop import Shop

pytestmark = [pytest.mark.servers, pytest.mark.dbt, pytest.mark.slow]

# truth's name -> expression over reporting.agg_daily_metrics
MEASURES = {
    "gross_sales": "gross_sales_amount",
    "discounts": "discount_amount",
    "returns": "returns_amount",
    "net_sales": "net_sales_amount",
    "shipping": "shipping_amount",
    "tax": "tax_amount",
    "total_sales": "total_sales_amount",
    "cogs": "cogs_amount",
    "gross_profit": "gross_profit_amount",
    "payment_fees": "payment_fee_amount",
    "shipping_cost": "shipping_cost_amount",
    "refund_adjustments": "-adjustment_amount",
    "orders": "orders",
    "units": "units",
    "returned_units": "returned_units",
}


def test_totals_over_the_whole_time_line(shop: Shop) -> None:
    truth = shop.truth("totals.json")
    sums = ", ".join(f"sum({expression})" for expression in MEASURES.values())
    (found,) = shop.rows(f"select {sums} from reporting.agg_daily_metrics")
    assert dict(zip(MEASURES, found, strict=True)) == {
        name: Decimal(str(truth[name])) for name in MEASURES
    }


def test_cost_coverage_over_the_whole_time_line(shop: Shop) -> None:
    found = shop.one(
        "select round(sum(costed_demand_amount) / sum(demand_amount), 6)"
        " from reporting.agg_daily_metrics"
    )
    assert float(found) == shop.truth("totals.json")["cost_coverage_of_sales"]


def test_every_day_of_every_store(shop: Shop) -> None:
    columns = ", ".join(MEASURES.values())
    found = {
        (store, str(day)): tuple(amounts)
        for store, day, *amounts in shop.rows(
            f"select store_id, metric_date, {columns} from reporting.agg_daily_metrics"
            " where store_id <> '(shared)'"
        )
    }
    nothing = (Decimal(0),) * len(MEASURES)
    truth = {
        (row["store_id"], row["date"]): tuple(Decimal(str(row[name])) for name in MEASURES)
        for row in shop.truth("daily.json")
    }
    assert len(truth) > 2_000
    wrong = {
        key: (truth[key], found.get(key, nothing))
        for key in truth
        if found.get(key, nothing) != truth[key]
    }
    assert not wrong
    # and no money on days or in stores that the truth does not have
    assert all(amounts == nothing for key, amounts in found.items() if key not in truth)


def test_every_order(shop: Shop) -> None:
    found = {
        order_id: values
        for order_id, *values in shop.rows(
            "select order_id, order_no, store_id, order_date::text, is_countable,"
            " coalesce(exclusion_reason, ''), gross_sales_amount, discount_amount, returns_amount,"
            " units from core.fct_orders where exclusion_reason is distinct from 'duplicate'"
        )
    }
    wrong = {}
    for order_id, row in shop.orders.items():
        if row["exclusion_reason"] == "deleted":
            continue  # gone before the first load
        reason = row["exclusion_reason"]
        expected = [row["order_no"], row["store_id"], row["order_date"], not reason, reason]
        if not reason:  # the truth keeps no money of an order that has lost its lines
            amounts = ("gross_sales", "discounts", "returns", "units")
            expected += [Decimal(row[name]) for name in amounts]
        if found.get(order_id, [])[: len(expected)] != expected:
            wrong[order_id] = (expected, found.get(order_id))
    assert not wrong
    assert len(found) == sum(row["exclusion_reason"] != "deleted" for row in shop.orders.values())


def test_what_each_order_was_charged_and_cost_on_its_own_day(shop: Shop) -> None:
    found = {
        order_id: tuple(amounts)
        for order_id, *amounts in shop.rows(
            "select order_id,"
            " coalesce(sum(amount) filter (where entry_type = 'shipping'), 0),"
            " coalesce(sum(amount) filter (where entry_type = 'tax'), 0),"
            " -coalesce(sum(amount) filter (where entry_type = 'cogs'), 0)"
            " from finance.fct_sales_ledger where is_countable and source_type = 'order'"
            " group by order_id"
        )
    }
    wrong = {}
    for order_id, row in shop.orders.items():
        if row["is_countable"] == "true":
            expected = tuple(Decimal(row[name]) for name in ("shipping", "tax", "cogs"))
            if found[order_id] != expected:
                wrong[order_id] = (expected, found[order_id])
    assert not wrong


def test_people_are_who_they_are(shop: Shop) -> None:
    keys = dict(shop.rows("select order_id, customer_key from core.fct_orders"))
    people_of_key, keys_of_person = defaultdict(set), defaultdict(set)
    for order_id, row in shop.orders.items():
        if order_id in keys:
            people_of_key[keys[order_id]].add(row["person"])
            keys_of_person[row["person"]].add(keys[order_id])
    merged_wrongly = {key: people for key, people in people_of_key.items() if len(people) > 1}
    assert not merged_wrongly
    split = {person for person, found in keys_of_person.items() if len(found) > 1}
    # nothing ties a guest order to an account whose document is gone, erased or opened later
    unknowable = {
        str(entry["person"])
        for entry in shop.truth("identity.json")
        if shop.one(
            "select count(*) from staging.stg_shop__users where user_id = any(%s)"
            " and (email is not null or phone is not null)",
            [entry["user_ids"]],
        )
        < len(entry["user_ids"])
    }
    assert split <= unknowable
    assert len(split) <= len(keys_of_person) // 50


def test_the_ledger_can_be_found_again_line_by_line(shop: Shop) -> None:
    in_documents = shop.one(
        "select sum(case jsonb_typeof(doc -> 'items') when 'array' then"
        " jsonb_array_length(doc -> 'items')"
        " else (select count(*) from jsonb_object_keys(doc -> 'items')) end) from raw.orders"
    )
    in_ledger = shop.one(
        "select count(*) from finance.fct_sales_ledger"
        " where is_source_line and source_type = 'order'"
    )
    assert in_ledger == in_documents > 2_000


def test_headline_is_the_sum_of_complete_days(shop: Shop) -> None:
    (headline,) = shop.rows(
        "select total_sales_amount, orders, net_profit_amount, average_order_value,"
        " best_date, orders_last_month from reporting.agg_headline_kpis"
    )
    days = [
        row
        for row in shop.truth("daily.json")
        if row["date"] <= str(shop.one("select as_of_date from reporting.agg_headline_kpis"))
    ]
    by_date: dict[str, Decimal] = defaultdict(Decimal)
    for row in days:
        by_date[row["date"]] += Decimal(row["total_sales"])
    orders = sum(row["orders"] for row in days)
    demand = sum(Decimal(row["gross_sales"]) - Decimal(row["discounts"]) for row in days)
    last_month = str(shop.one("select last_month_start from reporting.agg_headline_kpis"))[:7]
    spend = shop.one(
        "select sum(marketing_spend_amount) from reporting.agg_daily_metrics where is_complete"
    )
    profit = sum(
        Decimal(row["net_sales"])
        + Decimal(row["shipping"])
        - Decimal(row["cogs"])
        - Decimal(row["payment_fees"])
        - Decimal(row["shipping_cost"])
        - Decimal(row["refund_adjustments"])
        for row in days
    )
    assert headline == (
        sum(by_date.values()),
        orders,
        profit - spend,
        round(demand / orders, 2),
        headline[4],
        sum(row["orders"] for row in days if row["date"].startswith(last_month)),
    )
    assert by_date[str(headline[4])] == max(by_date.values())
