"""The right answers, from the clean columns alone: no warehouse code, no flawed document."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from sandbox.store import places, plan
from sandbox.store.catalogue import CATEGORIES, Catalogue
from sandbox.store.exact import DAY, local_day, plain, utc
from sandbox.store.lines import Lines, to_gbp
from sandbox.store.plan import FLAW_CODES, Plan
from sandbox.store.returns import Refund

MONEY = (
    "gross_sales", "discounts", "returns", "shipping", "tax", "cogs", "payment_fees",
    "shipping_cost", "refund_adjustments",
)  # fmt: skip
COUNTS = ("orders", "units", "returned_units")


def day_text(day: int) -> str:
    """A day counted from 1970 as ISO text."""
    return utc(day * DAY).strftime("%Y-%m-%d")


class Ledger:
    """Money by store and business day in pence, event basis, countable orders only."""

    def __init__(self, order_plan: Plan, catalogue: Catalogue) -> None:
        self.plan, self.catalogue = order_plan, catalogue
        profile = order_plan.profile
        self.first = profile.first_day - 1
        shape = (len(places.STORES), profile.horizon_day + 120 - self.first)
        self.daily = {name: np.zeros(shape, dtype=np.int64) for name in (*MONEY, *COUNTS)}
        self.cogs_all = 0
        self.net_with_cost = 0
        self.excluded: dict[str, int] = defaultdict(int)
        self.not_countable_gross = 0
        self.category_net = np.zeros(len(CATEGORIES) + 1, dtype=np.int64)
        self.person_net = np.zeros(int(order_plan.person.max()) + 1, dtype=np.int64)
        self.method_net = np.zeros(len(plan.METHODS), dtype=np.int64)

    def reasons(self, lo: int, hi: int) -> list[str | None]:
        """Why each order doesn't count; None for those that do."""
        p = self.plan
        reasons = [plan.EXCLUSION.get(code) for code in p.outcome[lo:hi].tolist()]
        for name, reason in (("hard_deleted", "deleted"), ("empty_items", "no_items")):
            for order in np.flatnonzero(p.flaw[lo:hi] == FLAW_CODES[name]).tolist():
                reasons[order] = reason
        return reasons

    def book(
        self, lines: Lines, refunds: dict[int, list[Refund]], cutoff: int
    ) -> list[tuple[Any, ...]]:
        """Book a chunk's sales and those refunds and payments that happened before `cutoff`.

        Returns: one row per order for `orders.csv`, amounts in pence.
        """
        p, c = self.plan, self.catalogue
        lo, hi = lines.lo, lines.hi
        reasons = self.reasons(lo, hi)
        counts = np.array([reason is None for reason in reasons])
        for reason in reasons:
            if reason:
                self.excluded[reason] += 1
        on_line = counts[lines.order - lo]
        known = ~c.cost_unknown[c.sku_product[lines.sku]]
        known |= (p.flaw[lines.order] == FLAW_CODES["unknown_sku"]) & (lines.position == 0)
        first = lines.first[:-1]
        sums = {
            "gross_sales": np.add.reduceat(lines.gross_gbp, first),
            "discounts": np.add.reduceat(lines.discount_gbp, first),
            "tax": np.add.reduceat(lines.tax_gbp, first),
            "cogs": np.add.reduceat(lines.cogs_gbp * known, first),
            "shipping": lines.shipping_gbp,
            "shipping_cost": lines.shipping_cost,
            "units": np.add.reduceat(lines.qty * ~lines.is_gift, first),
            "orders": np.ones(hi - lo, dtype=np.int64),
        }
        store = p.store[lo:hi]
        day = local_day(p.placed[lo:hi]) - self.first
        for name, values in sums.items():
            np.add.at(self.daily[name], (store[counts], day[counts]), values[counts])
        self.cogs_all += int(lines.cogs_gbp[on_line].sum())
        self.not_countable_gross += int(lines.gross_gbp[~on_line].sum())
        net = lines.gross_gbp - lines.discount_gbp
        self.net_with_cost += int(net[on_line & known].sum())
        np.add.at(self.category_net, c.sku_category[lines.sku][on_line], net[on_line])
        by_order = sums["gross_sales"] - sums["discounts"]
        np.add.at(self.method_net, p.method[lo:hi][counts], by_order[counts])
        np.add.at(self.person_net, p.person[lo:hi][counts], by_order[counts])

        captured = np.isin(p.outcome[lo:hi], (plan.NORMAL, plan.CANCELLED_PAID))
        captured &= counts & (lines.grand > 0) & (p.paid[lo:hi] < cutoff)
        fee = to_gbp(lines.fee, lines.rate, lines.decimals)
        paid_day = local_day(p.paid[lo:hi]) - self.first
        np.add.at(self.daily["payment_fees"], (store[captured], paid_day[captured]), fee[captured])
        returned = np.zeros(hi - lo, dtype=np.int64)
        for order, order_refunds in refunds.items():
            if reasons[order - lo] is None:
                returned[order - lo] = self.refund(lines, order, order_refunds, 0, cutoff)
        columns = (sums["gross_sales"], sums["discounts"], returned, sums["shipping"],
                   sums["tax"], sums["cogs"], sums["units"])  # fmt: skip
        days = local_day(p.placed[lo:hi]).tolist()
        amounts = zip(*(column.tolist() for column in columns), strict=True)
        return [(lo + i, reasons[i], days[i], *row) for i, row in enumerate(amounts)]

    def refund(
        self, lines: Lines, order: int, refunds: list[Refund], since: int, cutoff: int
    ) -> int:
        """Book an order's refunds with since <= at < cutoff; returns the goods' value in pence."""
        own = order - lines.lo
        rate, decimals = lines.rate[own], lines.decimals[own]
        store = int(self.plan.store[order])
        goods = 0

        def pence(minor: int) -> int:
            return int(to_gbp(np.int64(minor), rate, decimals))

        for refund in refunds:
            if not since <= refund.at < cutoff:
                continue
            day = int(local_day(np.array([refund.at]))[0]) - self.first
            for part in refund.lines:
                amount = pence(part.amount)
                goods += amount
                self.daily["returns"][store, day] += amount
                self.daily["tax"][store, day] -= pence(part.tax)
                self.daily["returned_units"][store, day] += part.qty
                unknown = self.catalogue.cost_unknown[
                    self.catalogue.sku_product[lines.sku[part.line]]
                ]
                if part.restock == "return":
                    cost = part.qty * int(lines.unit_cost[part.line])
                    self.cogs_all -= cost
                    if not unknown:
                        self.daily["cogs"][store, day] -= cost
            self.daily["shipping"][store, day] -= pence(refund.shipping)
            self.daily["refund_adjustments"][store, day] += pence(refund.adjustment)
        return goods

    # --- output ---------------------------------------------------------------------------------

    def _row(self, values: dict[str, int]) -> dict[str, Any]:
        row: dict[str, Any] = {name: plain(values[name]) for name in MONEY}
        net = values["gross_sales"] - values["discounts"] - values["returns"]
        row["net_sales"] = plain(net)
        row["total_sales"] = plain(net + values["shipping"] + values["tax"])
        row["gross_profit"] = plain(net - values["cogs"])
        row.update({name: values[name] for name in COUNTS})
        return row

    def days(self, first: int, last: int) -> list[dict[str, Any]]:
        """One row per store and day of [first, last)."""
        rows = []
        for index, store in enumerate(places.STORES):
            for day in range(first, last):
                at = day - self.first
                values = {name: int(table[index, at]) for name, table in self.daily.items()}
                rows.append({"store_id": store.id, "date": day_text(day), **self._row(values)})
        return rows

    def months(self, first: int, last: int) -> list[dict[str, Any]]:
        """One row per month of [first, last), all stores together."""
        sums: dict[str, dict[str, int]] = {}
        for day in range(first, last):
            month = sums.setdefault(day_text(day)[:7], dict.fromkeys(self.daily, 0))
            for name, table in self.daily.items():
                month[name] += int(table[:, day - self.first].sum())
        return [{"month": month, **self._row(values)} for month, values in sums.items()]

    def totals(self, first: int, last: int) -> dict[str, Any]:
        """Sums over the days [first, last), and what the sums leave out."""
        span = slice(first - self.first, last - self.first)
        values = {name: int(table[:, span].sum()) for name, table in self.daily.items()}
        net = values["gross_sales"] - values["discounts"]
        return {
            **self._row(values),
            "cogs_of_all_lines": plain(self.cogs_all),
            "cost_coverage_of_sales": round(self.net_with_cost / max(1, net), 6),
            "excluded_orders": dict(sorted(self.excluded.items())),
        }
