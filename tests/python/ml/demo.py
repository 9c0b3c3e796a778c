"""The demo store's clean columns from its generator: no document, no warehouse, no flaw."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd

from sandbox.store import plan
from sandbox.store.catalogue import CATEGORIES, GIFT_CARD
from sandbox.store.documents import Document
from sandbox.store.exact import DAY
from sandbox.store.generate import World, months
from sandbox.store.lines import Lines
from sandbox.store.marketing import CHANNELS, SOURCES
from sandbox.store.places import STORES
from sandbox.store.profiles import profile
from sandbox.store.sessions import Tracker, break_day
from sandbox.store.stock import Movements

TRUE_ELASTICITY = {category.name: category.elasticity for category in CATEGORIES}


@dataclass(frozen=True)
class Demo:
    """A store of profile s.

    Attributes:
        lines: order, product, category, store, date, quantity, price (list, GBP without tax),
            markdown (share), cost (GBP), net (GBP after discounts).
        orders: date, net, channel (of the campaign that touched it, else None), is_caused.
        spend: date, channel, spend (GBP).
    """

    lines: pd.DataFrame
    orders: pd.DataFrame
    spend: pd.DataFrame


@cache
def _world(seed: int) -> tuple[World, tuple[Lines, ...], list[Document]]:
    """The generator after its last day, its months of lines, and the sessions that it wrote."""
    world, sessions, made = World(profile("s"), seed), [], []
    tracker = Tracker(
        world.builder,
        world.flaws,
        seed,
        lambda name, doc: sessions.append(doc) if name == "sessions" else None,
    )
    for first, last in months(world.profile.first_day, world.profile.end_day):
        made.append(world.maker.days(first, last, Movements()))
        tracker.days(made[-1], first, last)
    return world, tuple(made), sessions


@cache
def demo(seed: int = 42) -> Demo:
    """The store of this seed; orders that count, up to its last day."""
    world, months_of_lines, _ = _world(seed)
    p, c, m = world.plan, world.catalogue, world.marketing
    parts = []
    for made in months_of_lines:
        parts.append(
            pd.DataFrame(
                {
                    "order": made.order,
                    "product": c.sku_product[made.sku],
                    "sku": made.sku,
                    "category": c.sku_category[made.sku],
                    "store": p.store[made.order],
                    "quantity": made.qty,
                    "gross": made.gross_gbp / 100,
                    "net": (made.gross_gbp - made.discount_gbp) / 100,
                    "markdown": made.line_discount / np.maximum(made.qty * made.unit_price, 1),
                    "cost": made.unit_cost / 100,
                }
            )
        )
    lines = pd.concat(parts, ignore_index=True)
    counts = ~np.isin(p.outcome, list(plan.EXCLUSION))
    lines = lines[counts[lines["order"]] & (lines["category"] < GIFT_CARD) & (lines["gross"] > 0)]
    lines = lines.assign(
        date=_day(p.placed[lines["order"]] // DAY),
        category=np.array([x.name for x in CATEGORIES], dtype=object)[lines["category"]],
        store=np.array([x.id for x in STORES], dtype=object)[lines["store"]],
        price=lines["gross"] / lines["quantity"],
    )
    orders = lines.groupby("order").agg(date=("date", "first"), net=("net", "sum"))
    campaign = m.campaign[orders.index]
    names = np.array(CHANNELS, dtype=object)[m.channel]
    orders["channel"] = np.where(campaign >= 0, names[np.maximum(campaign, 0)], None)
    orders["is_caused"] = m.caused[orders.index]
    bills = [
        pd.DataFrame(
            {
                "date": _day(np.arange(m.start[k], m.end[k])),
                "channel": names[k],
                "spend": m.spend[k] / 100,
            }
        )
        for k in range(m.count)
        if m.start[k] < world.profile.end_day
    ]
    spend = pd.concat(bills, ignore_index=True)
    end = _day(np.array([world.profile.end_day]))[0]
    return Demo(lines, orders.reset_index(), spend[spend["date"] < end])


def price_weeks(lines: pd.DataFrame) -> pd.DataFrame:
    """Rows of `features.product_price_weeks` of the lines."""
    small = lines[(lines["quantity"] > 0) & (lines["quantity"] < 12)]
    weighted = small.assign(
        week_start_date=_monday(small["date"]), marked=small["markdown"] * small["quantity"]
    )
    table = (
        weighted.groupby(["product", "sku", "category", "store", "week_start_date"])
        .agg(
            orders=("order", "nunique"),
            units=("quantity", "sum"),
            price_amount=("price", "median"),
            marked=("marked", "sum"),
            unit_cost_amount=("cost", "last"),
        )
        .reset_index()
    )
    ends = table["week_start_date"] + pd.Timedelta(days=6)
    table = table.assign(
        product_id=table["product"].astype(str),
        product_key=table["sku"].astype(str),
        store_id=table["store"],
        buyer_group="identified",
        markdown_share=table["marked"] / table["units"],
        week_end_date=ends,
    )
    return table[ends <= lines["date"].max()]


def channel_weeks(shop: Demo) -> pd.DataFrame:
    """Rows of `features.channel_weeks`: the last touch, and a newsletter that needs no campaign.

    A tenth of the orders that no campaign touched comes through the newsletter, which is e-mail
    too; the rest is direct.
    """
    orders = shop.orders
    free = np.where(orders["order"] % 10 == 0, "email", "direct")
    orders = orders.assign(
        marketing_channel=orders["channel"].fillna(pd.Series(free, index=orders.index)),
        week_start_date=_monday(orders["date"]),
    )
    keys = ["marketing_channel", "week_start_date"]
    credited = orders.groupby(keys).agg(
        attributed_orders=("net", "size"), net_sales_amount=("net", "sum")
    )
    spend = shop.spend.assign(
        marketing_channel=shop.spend["channel"], week_start_date=_monday(shop.spend["date"])
    )
    table = credited.join(
        spend.groupby(keys)["spend"].sum().rename("spend_amount"), how="outer"
    ).fillna(0.0)
    table = table.reset_index().assign(
        attribution_model="last",
        gross_profit_amount=lambda t: 0.5 * t["net_sales_amount"],
        demand_amount=lambda t: t["net_sales_amount"],
        costed_demand_amount=lambda t: t["net_sales_amount"],
        week_end_date=lambda t: t["week_start_date"] + pd.Timedelta(days=6),
    )
    return table[table["week_end_date"] <= orders["date"].max()]


def journeys(seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Steps between channels in recorded journeys, and the last channel of each that ended well.

    Returns:
        from_state, to_state, transitions; and orders by channel. A pause of more than 30 days
        begins a new journey; a newsletter without a campaign is a channel of its own.
    """
    _, _, sessions = _world(seed)
    people = defaultdict(list)
    for doc in sessions:
        if not _is_bot(doc):
            at = pd.Timestamp(doc["started_at"])
            at = at.tz_localize("UTC") if at.tzinfo is None else at
            people[doc["visitor_id"]].append((at, _channel(doc["utm"]), _bought(doc)))
    steps, last = Counter(), Counter()
    for touches in people.values():
        path, before = [], None
        for at, channel, bought in sorted(touches, key=lambda touch: touch[0]):
            if path and before and (at - before).days > 30:
                steps.update(pairwise(["start", *path, "null"]))
                path = []
            path += [channel] if not path or path[-1] != channel else []
            before = at
            if bought:
                steps.update(pairwise(["start", *path, "conversion"]))
                last[channel] += 1
                path = []
        if path:
            steps.update(pairwise(["start", *path, "null"]))
    table = pd.DataFrame(
        [(a, b, n) for (a, b), n in sorted(steps.items())],
        columns=["from_state", "to_state", "transitions"],
    )
    return table, pd.Series(last)


def _is_bot(session: Document) -> bool:
    return len(session["events"]) >= 60  # they look at sixty pages


def _bought(session: Document) -> bool:
    return any(event["type"] == "purchase" for event in session["events"])


def _channel(utm: Document) -> str:
    paid = {medium: channel for channel, (_, medium) in SOURCES.items()}
    if utm.get("campaign"):
        return paid[utm["medium"]]
    return f"{utm.get('source')} {utm.get('medium')}".lower() if utm else "direct"


def _monday(dates: pd.Series) -> pd.Series:
    return dates - pd.to_timedelta(dates.dt.day_of_week, unit="D")


def _day(days: np.ndarray) -> pd.DatetimeIndex:
    return pd.to_datetime(np.asarray(days), unit="D")


def daily_metrics(seed: int) -> pd.DataFrame:
    """Rows of `features.daily_metrics`: the shop in total, and by payment method."""
    world, _, sessions = _world(seed)
    shop, p = demo(seed), world.plan
    lines = shop.lines.assign(
        method=np.array(plan.METHODS, dtype=object)[p.method[shop.lines["order"]]]
    )
    orders = np.arange(p.past)
    cancelled = orders[np.isin(p.outcome[: p.past], [plan.CANCELLED_UNPAID, plan.CANCELLED_PAID])]
    lost = pd.DataFrame(
        {
            "date": _day(p.placed[cancelled] // DAY),
            "method": np.array(plan.METHODS, dtype=object)[p.method[cancelled]],
        }
    )
    people = [doc for doc in sessions if not _is_bot(doc)]
    visits = pd.DataFrame(
        {
            "date": pd.to_datetime([doc["started_at"] for doc in people], utc=True)
            .tz_localize(None)
            .normalize(),
            "tagged": [bool(doc["utm"]) for doc in people],
            "bought": [_bought(doc) for doc in people],
        }
    )
    visits = visits.groupby("date").agg(
        sessions=("bought", "size"),
        tagged_sessions=("tagged", "sum"),
        tracked_purchases=("bought", "sum"),
    )
    total = _sums(lines, lost, ["date"]).join(visits).assign(dimension="total", member="all")
    parts = _sums(lines, lost, ["date", "method"]).reset_index("method")
    parts = parts.rename(columns={"method": "member"}).assign(dimension="payment_method")
    return pd.concat([total, parts]).rename_axis("metric_date").reset_index()


def _sums(lines: pd.DataFrame, lost: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """What was sold and cancelled by these keys."""
    sold = lines.groupby(keys).agg(
        revenue_amount=("net", "sum"),
        orders=("order", "nunique"),
        order_lines=("order", "size"),
        units=("quantity", "sum"),
    )
    return sold.assign(cancelled_orders=lost.groupby(keys).size()).fillna({"cancelled_orders": 0})


def planted_days(seed: int) -> dict[str, date]:
    """Days of the planted anomalies that a day's sales or sessions show; the first, if several."""
    world, _, _ = _world(seed)
    days = {
        "payment_outage": world.plan.outage_day,
        "tracking_break": break_day(world.profile),
    }
    return {name: _day(np.array([day]))[0].date() for name, day in days.items()}
