"""Each of the twenty imperfections is there, at its rate, and is what the truth says it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_books import documents, id_text, items_of, moment, number

from sandbox.store import plan
from sandbox.store.generate import World

Truth = Callable[[str], Any]


@pytest.fixture(scope="module")
def shop(xs: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Collection -> id -> document."""
    names = ("users", "products", "orders", "reviews", "sessions", "inventory_movements")
    return {name: {id_text(d["_id"]): d for d in documents(xs, name)} for name in names}


def test_all_twenty_are_in_the_smallest_shop(truth: Truth) -> None:
    found = set(truth("flaws")) | set(truth("counts")["imperfections"])
    numbers = {name[:2] for name in found if name[:2].isdigit()}
    assert numbers == {f"{n:02d}" for n in range(1, 21)}


@pytest.mark.parametrize(
    ("flaw", "per_10_000", "tolerance"),
    [
        ("duplicate_order", 50, 6),  # with the batch that was imported twice
        ("duplicate_payment", 20, 1),
        ("type_drift", 200, 1),
        ("totals_differ", 30, 1),
        ("hard_deleted", 20, 1),
        ("updated_at_missing", 40, 1),
        ("updated_at_equal", 40, 1),
        ("updated_at_not_bumped", 20, 1),
        ("empty_items", 10, 1),
        ("unknown_sku", 15, 1),
        ("delivered_before_shipped", 10, 1),
        ("future_delivery", 8, 1),
        ("zone_lost", 8, 1),
        ("items_as_map", 200, 1),
    ],
)
def test_rate_on_100_000_lines(world_s: World, flaw: str, per_10_000: int, tolerance: int) -> None:
    p = world_s.plan
    share = p.has(flaw)[: p.past].sum() / p.past * 10_000
    assert share == pytest.approx(per_10_000, abs=tolerance)


def test_rates_of_groups(world_s: World) -> None:
    p = world_s.plan
    past = slice(0, p.past)
    assert p.guest[past].mean() == pytest.approx(0.18, abs=0.0005)
    included = np.isin(p.store[past], (0, 3, 5))
    assert included.mean() == pytest.approx(0.40, abs=0.03)
    assert (p.store[past] >= 3).mean() == pytest.approx(0.12, abs=0.02)
    excluded = np.isin(p.outcome[past], list(plan.EXCLUSION)).mean()
    assert excluded == pytest.approx(0.02, abs=0.004)
    people = world_s.people
    twice = (people.second_account[: people.past] >= 0) | people.guest_first[: people.past]
    assert twice.mean() == pytest.approx(0.05, abs=0.01)


def test_rates_in_documents(truth: Truth, shop: dict) -> None:
    flaws, orders = truth("flaws"), len(shop["orders"])
    assert len(flaws["01_late_updates"]["orders"]) / orders == pytest.approx(0.08, abs=0.025)
    refunded = {
        entry["_id"]
        for kind, entries in flaws["13_refunds"].items()
        if kind != "after_cancel"
        for entry in entries
    }
    assert len(refunded) / orders == pytest.approx(0.06, abs=0.02)
    bots = len(flaws["18_web"]["bot_declared"]) + len(flaws["18_web"]["bot_undeclared"])
    assert 0.04 < bots / len(shop["sessions"]) < 0.15
    missing = truth("counts")["imperfections"]["07_missing"]["orders.items.unit_cost"]
    assert missing / 2_600 == pytest.approx(0.15, abs=0.03)


def test_01_late_updates(truth: Truth, shop: dict) -> None:
    for entry in truth("flaws")["01_late_updates"]["orders"]:
        order = shop["orders"][entry["_id"]]
        if isinstance(order.get("updated_at"), datetime):
            assert (order["updated_at"] - moment(order["placed_at"])).days >= 13


def test_02_updated_at(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["02_updated_at"]
    for entry in flaws["missing"]:
        assert shop[entry["collection"]][entry["_id"]].get("updated_at") is None
    stamps = [shop[e["collection"]][e["_id"]]["updated_at"] for e in flaws["equal"]]
    assert len(stamps) > 1
    assert len(set(stamps)) == 1
    for entry in flaws["not_bumped"]:
        order = shop["orders"][entry["_id"]]
        assert order["updated_at"] == order["created_at"]
        assert order["status_history"][-1]["at"] > order["updated_at"]


def test_03_deletes(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["03_deletes"]
    assert {e["collection"] for e in flaws["hard_deleted"]} == {"orders", "users", "products"}
    for entry in flaws["hard_deleted"]:
        assert entry["_id"] not in shop[entry["collection"]]
    for entry in flaws["soft_deleted"]:
        assert "deleted_at" in shop["users"][entry["_id"]]
    for entry in flaws["merged"]:
        assert id_text(shop["users"][entry["_id"]]["merged_into"]) == entry["into"]
        assert entry["into"] in shop["users"]


def test_04_duplicates(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["04_duplicates"]
    for kind in ("retried", "imported_twice"):
        for entry in flaws[kind]:
            copy, first = shop["orders"][entry["_id"]], shop["orders"][entry["of"]]
            assert copy["order_no"] == first["order_no"] == entry["order_no"]
            apart = (copy["placed_at"] - first["placed_at"]).total_seconds()
            assert 0 < apart <= 1_200
    numbers = [order["order_no"] for order in shop["orders"].values()]
    extra = len(numbers) - len(set(numbers))
    assert extra == len(flaws["retried"]) + len(flaws["imported_twice"])
    for entry in flaws["payment_webhook_twice"]:
        ids = [payment["id"] for payment in shop["orders"][entry["_id"]]["payments"]]
        assert ids.count(entry["payment_id"]) == 2


def test_05_duplicate_people(truth: Truth, shop: dict) -> None:
    kinds = set()
    for person in truth("identity"):
        if person["second_account"] is None:
            continue
        kinds.add(person["second_account"])
        accounts = [shop["users"].get(x) for x in person["user_ids"]]
        if any(a is None or "erased_at" in a for a in accounts):
            continue
        assert accounts[0]["email"] != accounts[1]["email"]
        assert accounts[0]["name"]["last"] == accounts[1]["name"]["last"]
    assert kinds == {"case", "plus_address", "typo"}
    assert any(person["guest_then_account"] for person in truth("identity"))


def test_06_guests(shop: dict) -> None:
    guests = [order for order in shop["orders"].values() if order["user_id"] is None]
    assert any("email" not in order["guest"] for order in guests)
    assert all(order["guest"] for order in guests)


def test_07_missing(truth: Truth, shop: dict) -> None:
    for entry in truth("flaws")["07_missing"]["orders.items"]:
        assert shop["orders"][entry["_id"]]["items"] == []
    for entry in truth("flaws")["07_missing"]["products.cost"]:
        product = shop["products"][entry["_id"]]
        assert not any("cost" in x for x in product["variants"] + product["price_history"])


def _at(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def test_08_type_drift(truth: Truth, shop: dict) -> None:
    """Each drifted value is stored as noted, and reads as the true value."""
    drift = truth("drift")
    assert {"orders", "users", "products", "reviews", "sessions"} <= {
        x["collection"] for x in drift
    }
    for entry in drift:
        stored = _at(shop[entry["collection"]][entry["_id"]], entry["path"])
        assert stored == entry["stored"]
        kind, true = entry["kind"], entry["true"]
        if kind.startswith(("price", "qty", "rating")):
            assert not isinstance(stored, type(Decimal))
            assert number(stored) == Decimal(true)
        elif kind in ("date_iso_text", "date_epoch_ms"):
            assert moment(stored) == moment(true)
        elif kind == "boolean_text":
            assert (stored == "yes") == (true == "True")
    text_ids = [x for x in (*shop["users"], *shop["products"]) if x.startswith('"')]
    assert len(text_ids) >= 2


def test_09_shape_drift(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["09_shape_drift"]
    for entry in flaws["items_as_map"]:
        assert isinstance(shop["orders"][entry["_id"]]["items"], dict)
    for entry in flaws["status_spelling"]:
        assert shop["orders"][entry["_id"]]["status"] == entry["stored"] != entry["true"]
    for order in shop["orders"].values():
        assert ("shipping_address" in order) == (order["schema_version"] == 1)
        assert ("address" in order["shipping"]) == (order["schema_version"] == 2)
    for product in shop["products"].values():
        assert ("category" in product) == (product["schema_version"] == 1)
        assert ("categories" in product) == (product["schema_version"] == 2)
    seen = {order["status"] for order in shop["orders"].values()}
    assert {"Delivered", "delivered", "shipped", "paid"} <= seen
    assert seen & {"canceled", "CANCELLED"}


def test_10_currencies(truth: Truth, shop: dict) -> None:
    for entry in truth("flaws")["10_currencies"]["fx_rate_missing"]:
        assert "fx_rate" not in shop["orders"][entry["_id"]]
    decimals = {"GBP": 2, "EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
    seen = set()
    for order in shop["orders"].values():
        seen.add(order["currency"])
        exponent = order["tax"]["total"].to_decimal().as_tuple().exponent
        assert -exponent == decimals[order["currency"]]
    assert seen == set(decimals)


def test_12_totals(truth: Truth, shop: dict) -> None:
    for entry in truth("flaws")["12_totals"]["grand"]:
        order = shop["orders"][entry["_id"]]
        assert str(order["totals"]["grand"]) == entry["stored"] != entry["true"]
    wrong = {entry["_id"] for entry in truth("flaws")["12_totals"]["grand"]}
    for identifier, order in shop["orders"].items():
        totals = {name: number(value) for name, value in order["totals"].items()}
        grand = totals["gross"] - totals["discount"] + totals["shipping"]
        if order["tax"]["included"] in (False, "no"):
            grand += totals["tax"]
        assert (totals["grand"] != grand) == (identifier in wrong), identifier


def test_13_refunds(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["13_refunds"]
    assert {
        "partial", "several", "over", "restock_unknown", "after_cancel", "in_another_month",
    } <= set(flaws)  # fmt: skip
    for entry in flaws["restock_unknown"]:
        lines = shop["orders"][entry["_id"]]["refunds"][0]["lines"]
        assert all("restock" not in line for line in lines)
    for entry in flaws["over"]:
        order = shop["orders"][entry["_id"]]
        refund = order["refunds"][0]
        assert number(refund["adjustment"]) > 0
    for entry in flaws["after_cancel"]:
        order = shop["orders"][entry["_id"]]
        assert order["status"].lower() in ("cancelled", "canceled")
        assert order["refunds"][0]["at"] > order["cancel"]["at"]
    assert any(len(order["refunds"]) == 2 for order in shop["orders"].values())


def test_14_orphans(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["14_orphans"]
    products = {id_text(x) for p in shop["products"].values() for x in [p["_id"]]}
    for entry in flaws["item_of_unknown_sku"]:
        item = items_of(shop["orders"][entry["_id"]])[0]
        assert item["sku"] == entry["stored"]
        assert id_text(item["product_id"]) not in products
    for entry in flaws["order_of_deleted_user"]:
        assert id_text(shop["orders"][entry["_id"]]["user_id"]) not in shop["users"]
    for entry in flaws["review_of_deleted_product"]:
        assert id_text(shop["reviews"][entry["_id"]]["product_id"]) not in products


def test_15_clock(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["15_clock"]
    for entry in flaws["delivered_before_shipped"]:
        shipping = shop["orders"][entry["_id"]]["shipping"]
        assert shipping["delivered_at"] < shipping["shipped_at"]
    end = datetime(2026, 1, 1, tzinfo=UTC)
    for entry in flaws["delivered_in_the_future"]:
        assert shop["orders"][entry["_id"]]["shipping"]["delivered_at"] > end
    for entry in flaws["zone_lost"]:
        stored = shop["orders"][entry["_id"]]["placed_at"]
        assert stored == entry["stored"]
        assert moment(stored) == moment(entry["true"])
    hours = {shop["orders"][e["_id"]]["placed_at"][11:13] for e in flaws["repeated_hour"]}
    assert hours == {"01"}
    assert len({entry["true"][11:13] for entry in flaws["repeated_hour"]}) == 2


def test_16_excluded(truth: Truth) -> None:
    assert set(truth("flaws")["16_excluded"]) == set(plan.EXCLUSION.values())


def test_17_oddities(truth: Truth, shop: dict) -> None:
    assert max(len(order["items"]) for order in shop["orders"].values()) >= 100
    flaws = truth("flaws")["17_oddities"]
    for entry in flaws["nul"]:
        assert "\x00" in shop["reviews"][entry["_id"]]["text"]
    for entry in flaws["html"]:
        assert "<b>" in shop["reviews"][entry["_id"]]["text"]
    for entry in flaws["nan"]:
        assert math.isnan(shop["products"][entry["_id"]]["rating"]["avg"])
    for entry in flaws["infinity"]:
        assert math.isinf(_at(shop["sessions"][entry["_id"]], entry["path"]))
    for entry in flaws["keys_and_infinity"]:
        assert {"$note", "care.wash"} <= set(shop["products"][entry["_id"]]["attrs"])


def test_18_web(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["18_web"]
    for entry in flaws["purchase_without_session"]:
        order = shop["orders"][entry["_id"]]
        assert id_text(order["session_id"]) not in shop["sessions"]
    for entry in flaws["over_midnight"]:
        session = shop["sessions"][entry["_id"]]
        assert moment(session["started_at"]).date() != session["ended_at"].date()
    for entry in flaws["bot_undeclared"]:
        session = shop["sessions"][entry["_id"]]
        assert not session["is_bot"]
        assert len(session["events"]) == 60
    for entry in flaws["utm_misspelt"]:
        stored = shop[entry["collection"]][entry["_id"]]["utm"]["source"]
        assert stored == entry["stored"] != entry["true"]


def test_sessions_lead_to_their_orders(shop: dict) -> None:
    bought = {
        id_text(event["order_id"]): id_text(session["_id"])
        for session in shop["sessions"].values()
        for event in session["events"]
        if event["type"] == "purchase"
    }
    assert len(bought) > 100
    for order_id, session_id in bought.items():
        order = shop["orders"].get(order_id)  # None: hard-deleted
        if order is not None:
            assert id_text(order["session_id"]) == session_id


def test_19_stock(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["19_stock"]
    moves = shop["inventory_movements"]
    assert all(entry["_id"] not in moves for entry in flaws["receipt_missing"])
    assert all(entry["_id"] in moves for entry in flaws["out_of_order"] + flaws["negative"])


def test_stock_is_never_sold_beyond_what_is_there(truth: Truth, shop: dict) -> None:
    """Replayed in true order, on hand falls below nought only where that was planted."""
    flaws = truth("flaws")["19_stock"]
    true_day = {entry["_id"]: entry["true"] for entry in flaws["out_of_order"]}
    missing = {(entry["sku"], entry["location"]) for entry in flaws["receipt_missing"]}
    negative = {entry["_id"] for entry in flaws["negative"]}
    rows = []
    for identifier, move in shop["inventory_movements"].items():
        at = move["at"]
        if identifier in true_day:
            wanted = datetime.fromisoformat(true_day[identifier]).date()
            at = at.replace(year=wanted.year, month=wanted.month, day=wanted.day)
        rows.append((at, move["type"] != "receipt", identifier, move))
    on_hand: dict[tuple[str, str], int] = {}
    rows.sort(key=lambda row: row[:3])
    for _, _, identifier, move in rows:
        place = (move["sku"], move["location"])
        on_hand[place] = on_hand.get(place, 0) + move["qty"]
        if place not in missing and identifier not in negative:
            assert on_hand[place] >= 0, (place, identifier)
    planted = sum(1 for entry in flaws["negative"] if on_hand[entry["sku"], entry["location"]] < 0)
    assert planted == len(flaws["negative"]) > 0
    for place, units in truth("model")["stock_at_end"].items():
        assert on_hand.get(tuple(place.split("@")), 0) == units, place


def test_20_erasure(truth: Truth, shop: dict) -> None:
    flaws = truth("flaws")["20_erasure"]
    assert flaws["users"]
    for entry in flaws["users"]:
        user = shop["users"][entry["_id"]]
        assert user["erased_at"]
        assert not {"email", "phone", "birth_date"} & set(user)
        assert user["name"] == {"first": None, "last": None}
    for entry in flaws["orders"]:
        order = shop["orders"][entry["_id"]]
        address = order.get("shipping_address") or order["shipping"]["address"]
        assert address["line1"] is None
        assert address["country"]


GOOD = ("excellent", "great", "perfect", "ausgezeichnet", "tolle", "très bonne", "parfait",
        "excelente", "muy buena", "excellent,")  # fmt: skip
BAD = ("disappointed", "terrible", "awful", "enttäuscht", "schrecklich", "déçu", "horrible",
       "decepcionado")  # fmt: skip


def test_reviews_say_what_their_stars_say(shop: dict) -> None:
    stars = {}
    for review in shop["reviews"].values():
        rating = int(number(review["rating"]))
        stars[rating] = stars.get(rating, 0) + 1
        text = review["text"].lower().replace("\x00", " ")
        assert any(word in text for word in GOOD) == (rating >= 4), review
        assert any(word in text for word in BAD) == (rating <= 2), review
    assert set(stars) == {1, 2, 3, 4, 5}
    assert stars[5] + stars[4] > stars[1] + stars[2]


def test_reviews_of_defective_products_are_worse(truth: Truth, shop: dict) -> None:
    defective = set(truth("model")["defective_products"])
    groups: dict[bool, list[int]] = {True: [], False: []}
    for review in shop["reviews"].values():
        groups[id_text(review["product_id"]) in defective].append(int(number(review["rating"])))
    assert np.mean(groups[True]) < np.mean(groups[False]) - 1


def test_planted_basket_rules_are_found_again(world_s: World) -> None:
    """Of baskets of two or more that open with a rule's first sku, p bring its second."""
    c = world_s.catalogue
    opened = dict.fromkeys((a for a, _, _ in c.rules), 0)
    followed = dict(opened)
    profile = world_s.profile
    from sandbox.store.stock import Movements

    for day in range(profile.first_day, profile.end_day, 60):
        lines = world_s.maker.days(day, min(day + 60, profile.end_day), Movements())
        heads = lines.first[:-1][np.diff(lines.first) > 1]
        for a, b, _ in c.rules:
            mine = heads[lines.sku[heads] == a]
            opened[a] += mine.size
            followed[a] += int((lines.sku[mine + 1] == b).sum())
    expected = sum(opened[a] * p / 100 for a, _, p in c.rules)
    assert sum(opened.values()) > 1_000
    assert sum(followed.values()) == pytest.approx(expected, rel=0.12)
