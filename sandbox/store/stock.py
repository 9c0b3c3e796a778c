"""Two warehouses, suppliers with lead times, and stock-outs that censor sales.

Movements are exact: what leaves is never more than what is there, except where a flaw says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sandbox.store.catalogue import GIFT_CARD, Catalogue
from sandbox.store.exact import DAY, rng
from sandbox.store.profiles import Profile

LOCATIONS = ("warehouse_a", "warehouse_b")
UNITS_PER_LINE = 2
COVER_DAYS = 45


@dataclass
class Movements:
    """Movements without an order, as columns; `at` in seconds, `arrival` in days (0 unknown)."""

    kind: list[str] = field(default_factory=list)
    place: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    qty: list[int] = field(default_factory=list)
    ref: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, place: int, at: int, qty: int, ref: tuple[str, str]) -> None:
        """Append one movement."""
        self.kind.append(kind)
        self.place.append(place)
        self.at.append(at)
        self.qty.append(qty)
        self.ref.append(ref)


class Stock:
    """Stock by place; a place is sku * 2 + location."""

    def __init__(self, profile: Profile, seed: int, catalogue: Catalogue) -> None:
        self.profile, self.seed, self.catalogue = profile, seed, catalogue
        places = 2 * catalogue.skus
        self.on_hand = np.zeros(places, dtype=np.int64)
        self.on_order = np.zeros(places, dtype=np.int64)
        self.average = np.zeros(places, dtype=np.int64)
        """Smoothed daily demand in 1/1000 units."""
        self.due: dict[int, list[tuple[int, int, str]]] = {}
        self.returned: dict[int, list[tuple[int, int]]] = {}
        self.today = profile.first_day - 1
        self.purchase = 0
        self.lost: list[tuple[int, int, int]] = []
        self.goods = np.repeat(catalogue.sku_category < GIFT_CARD, 2)
        self.lead = np.repeat(catalogue.lead_days[catalogue.sku_product], 2)
        self.moq = np.repeat(catalogue.moq[catalogue.sku_product], 2)
        self.launch = np.repeat(catalogue.launch[catalogue.sku_product], 2)
        lines_a_day = profile.lines / (profile.end_day - profile.first_day)
        popularity = np.repeat(catalogue.sku_popularity, 2)
        popularity = popularity / float(popularity.sum()) * 2
        split = np.tile(np.array([0.85, 0.15]), catalogue.skus)
        self.expected = np.round(popularity * split * lines_a_day * UNITS_PER_LINE * 1000).astype(
            np.int64
        )

    def day(
        self,
        day: int,
        sku: np.ndarray,
        location: np.ndarray,
        qty: np.ndarray,
        takes_stock: np.ndarray,
        on_sale: np.ndarray,
        movements: Movements,
    ) -> None:
        """Run one UTC day; `sku` and `qty` are changed in place where stock has run out.

        Args:
            sku: what each line asks for, in the order of time.
            location: 0 or 1 for each line.
            qty: units of each line.
            takes_stock: false for lines that never leave the warehouse.
            on_sale: skus that may be offered instead.
            movements: receipts are added here, at midnight.
        """
        self._receive(day, movements)
        place = sku * 2 + location
        wanted = np.bincount(
            place[takes_stock], weights=qty[takes_stock], minlength=self.on_hand.size
        ).astype(np.int64)
        short = wanted > self.on_hand
        left = self.on_hand - np.where(short, 0, wanted)
        if short.any():
            for line in np.flatnonzero(takes_stock & short[place]).tolist():
                self._serve(line, day, sku, int(location[line]), qty, left, on_sale)
        self.on_hand = left
        self.average += (wanted * 1000 - self.average) // 15
        self._reorder(day)

    def _serve(
        self,
        line: int,
        day: int,
        sku: np.ndarray,
        location: int,
        qty: np.ndarray,
        left: np.ndarray,
        on_sale: np.ndarray,
    ) -> None:
        """Give a line what is left, or the best-stocked sku of its category instead."""
        place, wanted = int(sku[line]) * 2 + location, int(qty[line])
        if left[place] >= wanted:
            left[place] -= wanted
            return
        self.lost.append((day, place, wanted - int(left[place])))
        if left[place] == 0:
            category = int(self.catalogue.sku_category[sku[line]])
            lo, hi = self.catalogue.block[category], self.catalogue.block[category + 1]
            here = np.where(on_sale[lo:hi], left[2 * lo + location : 2 * hi : 2], 0)
            best = lo + int(np.argmax(here))
            if left[2 * best + location] == 0:
                best = int(np.argmax(np.where(on_sale, left[location::2], 0)))
            sku[line], place = best, 2 * best + location
        qty[line] = min(wanted, int(left[place]))
        left[place] -= qty[line]

    def _receive(self, day: int, movements: Movements) -> None:
        self.today = day
        for place, qty in self.returned.pop(day, ()):
            self.on_hand[place] += qty
        for place, qty, number in self.due.pop(day, ()):
            self.on_hand[place] += qty
            self.on_order[place] -= qty
            movements.add("receipt", place, day * DAY, qty, ("purchase_order", number))
        opening = self.launch == day
        if day == self.profile.first_day:
            opening = self.launch <= day
        for place in np.flatnonzero(opening & self.goods).tolist():
            need = int(self.expected[place]) * COVER_DAYS // 1000 + 6
            qty = -(-need // int(self.moq[place])) * int(self.moq[place])
            self.on_hand[place] += qty
            self.average[place] = self.expected[place]
            self.purchase += 1
            movements.add("receipt", place, day * DAY, qty, ("opening", f"OP{self.purchase:07d}"))

    def _reorder(self, day: int) -> None:
        position = self.on_hand + self.on_order
        safety_days = 7
        point = self.average * (self.lead + safety_days) // 1000 + 1
        needed = np.flatnonzero(self.goods & (self.launch <= day) & (position < point))
        if needed.size == 0:
            return
        r = rng(self.seed, "purchases", day)
        delays = r.integers(0, 4, needed.size)
        very_late = r.random(needed.size) < 0.08
        delays[very_late] += r.integers(8, 25, needed.size)[very_late]
        for place, delay in zip(needed.tolist(), delays.tolist(), strict=True):
            need = int(self.average[place]) * COVER_DAYS // 1000 + 2
            qty = -(-need // int(self.moq[place])) * int(self.moq[place])
            self.purchase += 1
            self.on_order[place] += qty
            arrives = day + int(self.lead[place]) + delay
            self.due.setdefault(arrives, []).append((place, qty, f"PO{self.purchase:07d}"))

    def month_end(self, day: int, movements: Movements) -> None:
        """Damage, counting differences and transfers, in the last second of a UTC day."""
        r, at = rng(self.seed, "stocktake", day), day * DAY + DAY - 1
        rich = np.flatnonzero(self.on_hand > 12)
        if rich.size == 0:
            return
        for kind in ("damage", "adjustment", "transfer"):
            for place in r.permutation(rich)[: max(1, rich.size // 150)].tolist():
                qty = int(r.integers(1, 4))
                number = f"{kind[:2].upper()}{day}-{place}"
                movements.add(kind, place, at, -qty, (kind, number))
                self.on_hand[place] -= qty
                if kind == "transfer":
                    movements.add(kind, place ^ 1, at, qty, (kind, number))
                    self.on_hand[place ^ 1] += qty

    def give_back(self, place: int, qty: int, at: int) -> None:
        """Goods returned at `at` can be sold again from the next day that is still to come."""
        self.returned.setdefault(max(at // DAY, self.today) + 1, []).append((place, qty))

    # --- for `tick`, which goes on where the generator stopped -----------------------------------

    def state(self) -> dict[str, object]:
        """Everything that the next day depends on, as plain lists."""
        return {
            "on_hand": self.on_hand.tolist(),
            "on_order": self.on_order.tolist(),
            "average": self.average.tolist(),
            "due": sorted((day, list(map(list, rows))) for day, rows in self.due.items()),
            "returned": sorted((day, list(map(list, rows))) for day, rows in self.returned.items()),
            "today": self.today,
            "purchase": self.purchase,
        }

    def restore(self, state: dict) -> None:
        """Take over what `state` returned."""
        for name in ("on_hand", "on_order", "average"):
            setattr(self, name, np.array(state[name], dtype=np.int64))
        self.due = {day: [tuple(row) for row in rows] for day, rows in state["due"]}
        self.returned = {day: [tuple(row) for row in rows] for day, rows in state["returned"]}
        self.today, self.purchase = state["today"], state["purchase"]
