"""The shop's numbers, worked out from its documents by the definitions of README.md.

Written apart from the generator: it reads BSON files and knows nothing of columns or seeds. It
does for a small shop what the warehouse does in SQL, so that the two can be held against the truth.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import bson
from bson import Decimal128, ObjectId
from bson.codec_options import CodecOptions

LONDON = ZoneInfo("Europe/London")
MEASURES = (
    "gross_sales", "discounts", "returns", "shipping", "tax", "cogs", "payment_fees",
    "shipping_cost", "refund_adjustments", "orders", "units", "returned_units",
)  # fmt: skip
PLACES = {"GBP": 2, "EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}


def documents(folder: Path, collection: str) -> Iterator[dict[str, Any]]:
    with (folder / f"{collection}.bson").open("rb") as file:
        yield from bson.decode_file_iter(file, CodecOptions(tz_aware=True))


def number(value: Any) -> Decimal:
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, str):
        if "," in value:
            value = value.replace(".", "").replace(",", ".")
        return Decimal(value)
    return Decimal(str(value))


def moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC)
    if "/" in value:
        return datetime.strptime(value, "%d/%m/%Y %H:%M:%S").replace(tzinfo=LONDON)
    parsed = datetime.fromisoformat(value)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=LONDON)


def business_day(value: Any) -> date:
    return moment(value).astimezone(LONDON).date()


def rounded(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def items_of(order: dict[str, Any]) -> list[dict[str, Any]]:
    items = order["items"]
    return list(items.values()) if isinstance(items, dict) else items


class Books:
    """Sums by measure and (store, day)."""

    def __init__(self, read: Callable[[str], Iterable[dict[str, Any]]]) -> None:
        """`read` gives a collection's documents by its name."""
        self.sums: dict[str, dict[tuple[str, date], Decimal]] = defaultdict(
            lambda: defaultdict(Decimal)
        )
        self.excluded: dict[str, int] = defaultdict(int)
        self.rates = {
            (doc["base"], doc["date"].date()): number(doc["rate"]) for doc in read("exchange_rates")
        }
        self.costs = self._cost_history(read("products"))
        first: dict[str, dict[str, Any]] = {}
        for order in read("orders"):
            seen = first.get(order["order_no"])
            if seen is None or moment(order["placed_at"]) < moment(seen["placed_at"]):
                first[order["order_no"]] = order
        self.orders = list(first.values())
        for order in self.orders:
            reason = exclusion(order)
            if reason:
                self.excluded[reason] += 1
            else:
                self._book(order)

    @staticmethod
    def _cost_history(
        products: Iterable[dict[str, Any]],
    ) -> dict[str, list[tuple[datetime, Decimal]]]:
        found = {}
        for product in products:
            history = [
                (entry["at"], number(entry["cost"]))
                for entry in product["price_history"]
                if "cost" in entry
            ]
            found[str(product["_id"])] = history
        return found

    def total(self, measure: str) -> Decimal:
        return sum(self.sums[measure].values(), Decimal(0))

    def _unit_cost(self, item: dict[str, Any], placed: datetime) -> Decimal | None:
        if "unit_cost" in item:
            return number(item["unit_cost"])
        valid = [c for at, c in self.costs.get(str(item["product_id"]), []) if at <= placed]
        return valid[-1] if valid else None

    def _book(self, order: dict[str, Any]) -> None:
        currency, store = order["currency"], order["store_id"]
        day, placed = business_day(order["placed_at"]), moment(order["placed_at"])
        places = PLACES[currency]
        rate = Decimal(1)
        if currency != "GBP":
            rate = number(order["fx_rate"]) if "fx_rate" in order else self.rates[currency, day]

        def gbp(amount: Decimal) -> Decimal:
            return rounded(amount * rate, 2)

        def add(measure: str, amount: Decimal, on: date = day) -> None:
            self.sums[measure][store, on] += amount

        included = order["tax"]["included"] in (True, "yes", 1)
        items = items_of(order)
        values = [
            number(i["qty"]) * number(i["unit_price"])
            - sum(number(d["amount"]) for d in i["discounts"])
            for i in items
        ]
        off = sum(number(d["amount"]) for d in order["discounts"] if d["kind"] != "shipping")
        given = Decimal(0)
        for position, (item, value) in enumerate(zip(items, values, strict=True)):
            share = Decimal(0)
            if off:
                share = rounded(off * value / sum(values), places)
                if position == len(items) - 1:
                    share = off - given
                given += share
            if item.get("gift_card"):
                continue
            gross = number(item["qty"]) * number(item["unit_price"])
            discount = gross - value + share
            tax_rate = number(item["tax_rate"])
            if included:
                net_gross = rounded(gross / (1 + tax_rate), places)
                net_discount = rounded(discount / (1 + tax_rate), places)
                tax = gross - discount - (net_gross - net_discount)
            else:
                net_gross, net_discount = gross, discount
                tax = rounded((gross - discount) * tax_rate, places)
            add("gross_sales", gbp(net_gross))
            add("discounts", gbp(net_discount))
            add("tax", gbp(tax))
            add("units", number(item["qty"]))
            cost = self._unit_cost(item, placed)
            if cost is not None:
                add("cogs", number(item["qty"]) * cost)
        add("orders", Decimal(1))
        free = sum(number(d["amount"]) for d in order["discounts"] if d["kind"] == "shipping")
        add("shipping", gbp(number(order["shipping"]["price"]) - free))
        add("shipping_cost", number(order["shipping"]["cost"]))
        self._payments(order, gbp, add)
        by_line = {item["line_id"]: item for item in items}
        for refund in order["refunds"]:
            on = business_day(refund["at"])
            add("shipping", -gbp(number(refund["shipping"])), on)
            add("refund_adjustments", gbp(number(refund["adjustment"])), on)
            for line in refund["lines"]:
                add("returns", gbp(number(line["amount"])), on)
                add("tax", -gbp(number(line["tax"])), on)
                add("returned_units", number(line["qty"]), on)
                cost = self._unit_cost(by_line[line["line_id"]], placed)
                if line.get("restock") == "return" and cost is not None:
                    add("cogs", -number(line["qty"]) * cost, on)

    @staticmethod
    def _payments(order: dict[str, Any], gbp: Any, add: Any) -> None:
        seen = set()
        for payment in order["payments"]:
            if payment["status"] == "captured" and payment["id"] not in seen:
                seen.add(payment["id"])
                add("payment_fees", gbp(number(payment["fee"])), business_day(payment["at"]))


def exclusion(order: dict[str, Any]) -> str | None:
    """The first reason of README.md's table that fits; None if the order counts."""
    if order.get("is_test"):
        return "test"
    if order["fraud"]["flag"]:
        return "fraud"
    paid = any(payment["status"] == "captured" for payment in order["payments"])
    if order["status"].lower() in ("cancelled", "canceled") and not paid:
        return "cancelled_before_payment"
    items = items_of(order)
    if not items:
        return "no_items"
    if all(item.get("gift_card") for item in items):
        return "gift_card_only"
    if sum(number(item["qty"]) for item in items) <= 0:
        return "negative_or_zero_quantity"
    if sum(number(item["qty"]) * number(item["unit_price"]) for item in items) == 0:
        return "zero_value"
    return None


def id_text(identifier: Any) -> str:
    return str(identifier) if isinstance(identifier, ObjectId) else json.dumps(identifier)


def silent(what: str, share: float) -> None:
    """No progress bar."""
