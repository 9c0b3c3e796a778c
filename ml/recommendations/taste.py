"""What is known of every customer's taste on a day, and the simple models that read it.

Each simple model gives every item a score for every customer, shape (customers, items), float32,
in chunks, since all at once would not fit in memory.

Sources: personal frequency with decay and the neighbours' vectors follow Hu et al. 2020, "Modeling
Personalized Item Frequency Information for Next-basket Recommendation" (TIFU-KNN), SIGIR; that
personal frequency is hard to beat: Li et al. 2023, "A Next Basket Recommendation Reality Check".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from ml.recommendations import items
from ml.recommendations.baskets import ANONYMOUS, Baskets

BASKET_DECAY = 0.9  # each later basket takes a tenth of a basket's weight
HALF_LIFE_DAYS = 180.0  # of a purchase as a sign of taste: two seasons
POPULAR_DAYS = 60
NEIGHBOURS = 100  # customers of like taste
OWN_SHARE = 0.7  # of a customer's own vector beside the neighbours'
CHUNK = 512  # customers scored at once: 10 MB for each matrix of 5,000 items


@dataclass(frozen=True)
class Pairs:
    """One entry per customer and item that they bought, sorted by both.

    Attributes:
        customer, item: codes.
        count: baskets that held it.
        last_place: baskets of the customer since the last that held it.
        last_day, first_day: days since 1970.
        decayed: sum of `BASKET_DECAY` to the power of the later baskets.
        aged: sum of halves per `HALF_LIFE_DAYS`.
        units: bought in all.
    """

    customer: np.ndarray
    item: np.ndarray
    count: np.ndarray
    last_place: np.ndarray
    last_day: np.ndarray
    first_day: np.ndarray
    decayed: np.ndarray
    aged: np.ndarray
    units: np.ndarray


@dataclass(frozen=True)
class Taste:
    """Everything that the models know on a day.

    Attributes:
        baskets: up to that day.
        day: days since 1970.
    """

    baskets: Baskets
    day: int

    @cached_property
    def pairs(self) -> Pairs:
        """Who bought what how often and when."""
        known = self.baskets
        who = known.basket_customer[known.line_basket]
        lines = np.flatnonzero(who != ANONYMOUS)
        key = who[lines].astype(np.int64) * len(known.items) + known.line_item[lines]
        order = np.argsort(key, kind="stable")  # within a pair the oldest basket first
        lines, key = lines[order], key[order]
        start = np.flatnonzero(np.diff(key, prepend=-1))
        end = np.append(start[1:], len(key)) - 1
        basket = known.line_basket[lines]
        place, day = known.places[basket], known.basket_day[basket]
        age = self.day - day
        return Pairs(
            customer=(key[start] // len(known.items)).astype(np.int32),
            item=(key[start] % len(known.items)).astype(np.int32),
            count=(end - start + 1).astype(np.float32),
            last_place=place[end],
            last_day=day[end],
            first_day=day[start],
            decayed=_sums(np.float32(BASKET_DECAY) ** place, start),
            aged=_sums(halves(age), start),
            units=_sums(known.line_quantity[lines], start),
        )

    @cached_property
    def customer_baskets(self) -> np.ndarray:
        """Baskets of each customer, shape (customers,)."""
        who = self.baskets.basket_customer
        return np.bincount(who[who != ANONYMOUS], minlength=len(self.baskets.customers))

    @cached_property
    def frequency(self) -> sparse.csr_array:
        """Baskets of each customer that held the item."""
        return self._by_customer(self.pairs.count)

    @cached_property
    def own(self) -> sparse.csr_array:
        """Decayed share of the customer's baskets that held the item."""
        share = self.pairs.decayed / self.customer_baskets[self.pairs.customer]
        return self._by_customer(share.astype(np.float32))

    @cached_property
    def interest(self) -> sparse.csr_array:
        """Aged purchases, at most 1: whether the item is to the customer's taste."""
        return self._by_customer(np.minimum(self.pairs.aged, 1))

    @cached_property
    def ease(self) -> items.ItemModel:
        """EASE on the customers' interests."""
        return items.ease(self.interest, items.INTEREST_PENALTY)

    @cached_property
    def popular(self) -> np.ndarray:
        """Baskets of the last `POPULAR_DAYS` days with each item, shape (items,), float32."""
        return self.sold(POPULAR_DAYS)

    def sold(self, days: int, until: int | None = None) -> np.ndarray:
        """Baskets with each item within `days` up to a day (this one), shape (items,), float32."""
        until = self.day if until is None else until
        part = self.baskets.until(until)
        first = np.searchsorted(part.basket_day, until - days, side="right")
        recent = part.line_item[np.searchsorted(part.line_basket, first) :]
        return np.bincount(recent, minlength=len(part.items)).astype(np.float32)

    def neighbours(self, customers: np.ndarray) -> np.ndarray:
        """Mean vector of those whose own is nearest by cosine, weighted by it."""
        size = min(NEIGHBOURS, len(self.baskets.known) - 1)
        scores = np.zeros((len(customers), len(self.baskets.items)), np.float32)
        if size < 1:
            return scores
        alike = (self._unit[customers] @ self._unit.T).toarray()
        alike[np.arange(len(customers)), customers] = 0
        nearest = np.argpartition(-alike, size - 1, axis=1)[:, :size]
        weight = np.take_along_axis(alike, nearest, axis=1)
        row = np.repeat(np.arange(len(customers)), size)
        chosen = sparse.csr_array(
            (weight.ravel(), (row, nearest.ravel())), shape=(len(customers), self.own.shape[0])
        )
        total = np.maximum(weight.sum(axis=1, keepdims=True), np.float32(1e-9))
        return (chosen @ self.own).toarray() / total

    @cached_property
    def _unit(self) -> sparse.csr_array:
        length = np.sqrt(self.own.multiply(self.own).sum(axis=1))
        return items.scale_rows(self.own, 1 / np.maximum(length, 1e-9))

    def _by_customer(self, values: np.ndarray) -> sparse.csr_array:
        shape = (len(self.baskets.customers), len(self.baskets.items))
        pairs = self.pairs
        starts = np.searchsorted(pairs.customer, np.arange(shape[0] + 1)).astype(np.int32)
        return sparse.csr_array((values, pairs.item, starts), shape=shape)


def taste(baskets: Baskets, day: int) -> Taste:
    """What is known at the end of `day`; later baskets are left out."""
    return Taste(baskets.until(day), day)


@dataclass(frozen=True)
class Scores:
    """All simple models' scores of a few customers, each of shape (customers, items), float32.

    Attributes:
        customers: their codes.
        seen: True where the customer had bought the item.
        known: what the scores stand on.
    """

    customers: np.ndarray
    seen: np.ndarray
    popularity: np.ndarray
    frequency: np.ndarray
    decay: np.ndarray
    neighbours: np.ndarray
    tifu: np.ndarray
    known: Taste

    @cached_property
    def ease(self) -> np.ndarray:
        """EASE on interests; computed where it is asked for, it is the dearest."""
        return self.known.ease.score(self.known.interest[self.customers], self.seen.shape[1])


def scores(known: Taste, customers: np.ndarray) -> Iterator[Scores]:
    """The simple models' scores in chunks of `CHUNK` customers."""
    # breaks ties among what the customer bought as often, and fills up for those with few items
    tie = known.popular / (1e6 * max(float(known.popular.max(initial=0)), 1))
    for start in range(0, len(customers), CHUNK):
        part = customers[start : start + CHUNK]
        own = known.own[part].toarray()
        near = known.neighbours(part)
        frequency = known.frequency[part].toarray()
        yield Scores(
            customers=part,
            seen=frequency > 0,
            popularity=np.broadcast_to(known.popular, own.shape),
            frequency=frequency + tie,
            decay=own + tie,
            neighbours=near,
            tifu=OWN_SHARE * own + (1 - OWN_SHARE) * near + tie,
            known=known,
        )


def halves(age: np.ndarray) -> np.ndarray:
    """Weight of something `age` days old, float32."""
    return np.float32(0.5) ** (age / np.float32(HALF_LIFE_DAYS)).astype(np.float32)


def _sums(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    if not len(start):
        return np.zeros(0, np.float32)
    return np.add.reduceat(values.astype(np.float32), start)
