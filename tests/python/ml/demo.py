"""The demo store's clean columns from its generator: no document, no warehouse, no flaw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from sandbox.store import plan
from sandbox.store.catalogue import CATEGORIES, GIFT_CARD
from sandbox.store.exact import DAY
from sandbox.store.generate import World, months
from sandbox.store.marketing import CHANNELS
from sandbox.store.places import STORES
from sandbox.store.profiles import profile
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
def demo(seed: int = 42) -> Demo:
    """The store of this seed; orders that count, up to its last day."""
    world = World(profile("s"), seed)
    p, c, m = world.plan, world.catalogue, world.marketing
    parts = []
    for first, last in months(world.profile.first_day, world.profile.end_day):
        made = world.maker.days(first, last, Movements())
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
    week = small["date"] - pd.to_timedelta(small["date"].dt.day_of_week, unit="D")
    weighted = small.assign(week_start_date=week, marked=small["markdown"] * small["quantity"])
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


def _day(days: np.ndarray) -> pd.DatetimeIndex:
    return pd.to_datetime(np.asarray(days), unit="D")
