"""The planted answers that are not money by day: people, campaigns, rules, groups of flaws."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from sandbox.store import places, plan
from sandbox.store.catalogue import CATEGORIES
from sandbox.store.exact import DAY, plain, utc
from sandbox.store.flaws import id_text
from sandbox.store.people import SECOND_ACCOUNT_KINDS
from sandbox.store.plan import FLAW_CODES
from sandbox.store.sessions import break_day
from sandbox.store.stock import LOCATIONS
from sandbox.store.truth import day_text

if TYPE_CHECKING:
    from sandbox.store.generate import World

ELECTRONICS = 0
DIGITAL = ("card", "paypal", "klarna")


def _moment(seconds: int) -> str:
    return utc(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def _accounts(w: World, person: int) -> list[str]:
    people, cutoff = w.people, w.profile.end_day * DAY
    if people.guest_only[person]:
        return []
    found = []
    if people.signup[person] < cutoff:
        found.append(id_text(w.builder.user_id(person, 0)))
    if people.second_account[person] >= 0 and people.second_signup[person] < cutoff:
        found.append(id_text(w.builder.user_id(person, 1)))
    return found


def customers(w: World) -> Iterator[dict[str, Any]]:
    """Each person of the time line: how they buy, and when they stopped."""
    people, p, end = w.people, w.plan, w.profile.end_day
    orders = np.bincount(p.person[: p.past], minlength=people.count)
    for person in range(people.past):
        died = int(people.death[person])
        yield {
            "person": person,
            "user_ids": _accounts(w, person),
            "store_id": places.STORES[people.store[person]].id,
            "country": places.COUNTRIES[people.country[person]].code,
            "orders_per_ordinary_day": float(people.rate_per_day[person]),
            "first_order_at": _moment(int(people.first_order_at[person])),
            "died_at": _moment(died) if died < end * DAY else None,
            "is_alive": died >= end * DAY,
            "orders": int(orders[person]),
            "net_before_returns": plain(int(w.ledger.person_net[person])),
        }


def identities(w: World) -> Iterator[dict[str, Any]]:
    """People known under more than one id: accounts, and orders placed as a guest."""
    people, p = w.people, w.plan
    guest: dict[int, list[str]] = {}
    for order in np.flatnonzero(p.guest[: p.past]).tolist():
        guest.setdefault(int(p.person[order]), []).append(str(w.builder.order_id(order)))
    for person in range(people.past):
        accounts, orders = _accounts(w, person), guest.get(person, [])
        if len(accounts) + len(orders) < 2:
            continue
        kind = int(people.second_account[person])
        yield {
            "person": person,
            "user_ids": accounts,
            "guest_orders": orders,
            "second_account": SECOND_ACCOUNT_KINDS[kind] if len(accounts) == 2 else None,
            "guest_then_account": bool(people.guest_first[person]),
        }


def campaigns(w: World) -> Iterator[dict[str, Any]]:
    """What each campaign truly caused, and what its platform claims."""
    m, books, end = w.marketing, w.books, w.profile.end_day
    for k in range(m.count):
        if m.start[k] >= end:
            continue
        days = range(int(m.start[k]), min(int(m.end[k]), end))
        claims = [books.claims(k, day) for day in days]
        spend = int(m.spend[k][: len(days)].sum())
        yield {
            "campaign_id": id_text(w.builder.campaign_ids[k]),
            "name": m.code(k),
            "true_lift": int(m.lift[k]) / 10_000,
            "incremental_orders": int(books.caused[k]),
            "incremental_net": plain(int(books.caused_net[k])),
            "touched_orders": int(books.touched[k, : len(days)].sum()),
            "platform_conversions": sum(orders for orders, _ in claims),
            "platform_revenue": plain(sum(revenue for _, revenue in claims)),
            "spend": plain(spend),
        }


def model(w: World, stock: np.ndarray) -> dict[str, Any]:
    """Parameters that analyses should find again."""
    c, profile = w.catalogue, w.profile
    lost: dict[int, int] = {}
    for _, place, units in w.stock.lost:
        lost[place] = lost.get(place, 0) + units
    return {
        "price_elasticity": {x.name: x.elasticity for x in CATEGORIES},
        "returns_per_1000_lines": {x.name: x.returns for x in CATEGORIES},
        "basket_rules": [
            {"if": c.sku_codes[a], "then": c.sku_codes[b], "probability": percent / 100}
            for a, b, percent in c.rules
        ],
        "promotions": [
            {
                "code": x.code,
                "category": CATEGORIES[x.category].name if x.category >= 0 else None,
                "start": day_text(x.start),
                "end": day_text(x.end - 1),
                "percent": x.percent,
                "lift_beyond_price": x.extra_lift,
                "pull_forward_until": day_text(x.pull_end - 1),
                "pull_forward_factor": x.pull,
            }
            for x in c.promotions
            if x.start < profile.end_day
        ],
        "defective_products": [
            id_text(w.builder.product_ids[p]) for p in np.flatnonzero(c.defective).tolist()
        ],
        "lost_units": {
            f"{c.sku_codes[place // 2]}@{LOCATIONS[place % 2]}": units
            for place, units in sorted(lost.items())
        },
        "stock_at_end": {
            f"{c.sku_codes[place // 2]}@{LOCATIONS[place % 2]}": int(stock[place])
            for place in range(stock.size)
            if c.sku_category[place // 2] < len(CATEGORIES)
        },
        "anomalies": {
            "payment_outage": day_text(w.plan.outage_day),
            "tracking_break": [day_text(break_day(profile)), day_text(break_day(profile) + 1)],
            "duplicate_import": day_text(w.plan.import_day),
            "price_typo": {
                "date": day_text(c.typo_day),
                "product_id": id_text(w.builder.product_ids[c.typo_product]),
            },
        },
    }


def facts(w: World) -> dict[str, Any]:
    """The four published insights that the shop must show (capability A230)."""
    ledger, profile = w.ledger, w.profile
    by_category = {x.name: plain(int(ledger.category_net[i])) for i, x in enumerate(CATEGORIES)}
    best = np.sort(ledger.person_net[: w.people.past])[::-1]
    months = ledger.months(profile.first_day, profile.end_day)
    net = [float(row["net_sales"]) for row in months]
    changes = [b / a - 1 for a, b in pairwise(net) if a > 0]
    method = {name: int(ledger.method_net[i]) for i, name in enumerate(plan.METHODS)}
    digital = sum(method[name] for name in DIGITAL)
    return {
        "net_by_category": by_category,
        "top_category": CATEGORIES[int(np.argmax(ledger.category_net[:-1]))].name,
        "average_month_on_month_growth": round(sum(changes) / len(changes), 4),
        "share_of_best_fifth_of_customers": round(
            int(best[: max(1, best.size // 5)].sum()) / max(1, int(best.sum())), 4
        ),
        "share_of_digital_payments": round(digital / max(1, sum(method.values())), 4),
    }


def note_flaws(w: World) -> None:
    """Add the flaws of whole groups to the log: what the columns know without the documents."""
    p, log, people = w.plan, w.log, w.people
    past = np.arange(p.count) < p.past
    order_id, number = w.builder.order_id, p.order_no

    for reason, code in ((name, code) for code, name in plan.EXCLUSION.items()):
        for order in np.flatnonzero(past & (p.outcome == code)).tolist():
            log.add("16_excluded", reason, "orders", order_id(order), order_no=number(order))
    log.count("06_guests", "orders", int(p.guest[: p.past].sum()))
    log.count("06_guests", "phone_only", int(p.phone_only[: p.past].sum()))
    log.count(
        "05_duplicate_people",
        "guest_then_account",
        int(people.guest_first[: people.past].sum()),
    )
    excluded = past & np.isin(p.outcome, list(plan.EXCLUSION))
    log.count("16_excluded", "orders", int(excluded.sum()))
    for name, code in FLAW_CODES.items():
        log.count("orders_by_flaw", name, int((p.flaw[: p.past] == code).sum()))
