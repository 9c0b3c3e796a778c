"""Units sold per day and product, and on which days demand could be seen at all.

A day without stock is no day without demand: it is left out (censored). A day that sold out shows
a part of its demand: it counts as what was sold, or as an ordinary day where that is more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ml.business import DEFAULT_LEAD_DAYS

HISTORY_DAYS = 728  # two years hold every season twice; what was longer ago says nothing
ORDINARY_DAYS = 180  # over which a sold-out day's ordinary demand is taken
MAX_LEAD_DAYS = 180


@dataclass(frozen=True)
class Panel:
    """Days by products; the last row is the last day that is known.

    Attributes:
        keys: product keys, ascending.
        last_day: of the last row.
        units: sold, shape (days, products), float32.
        observed: False where demand can't be seen: not yet on sale, or no stock; same shape.
        sold_out: True where the day ended without stock and something was sold; same shape.
        lead_days: from order to receipt, shape (products,), whole days.
        is_lead_assumed: where the shop names none; shape (products,).
        available, incoming: units today, NaN where no stock is kept or the books are wrong.
        has_books: whether stock is kept of the product at all.
        is_active: whether it is for sale as far as the catalogue says.
    """

    keys: np.ndarray
    last_day: pd.Timestamp
    units: np.ndarray
    observed: np.ndarray
    sold_out: np.ndarray
    lead_days: np.ndarray
    is_lead_assumed: np.ndarray
    available: np.ndarray
    incoming: np.ndarray
    has_books: np.ndarray
    is_active: np.ndarray

    @classmethod
    def from_frames(
        cls,
        sales: pd.DataFrame,
        stock: pd.DataFrame,
        attributes: pd.DataFrame,
        as_of: pd.Timestamp,
    ) -> Panel:
        """The panel up to `as_of` of all products that were sold within `HISTORY_DAYS`.

        Args:
            sales: product_key, order_date, units; one row per product and day with a sale.
            stock: rows of `features.product_stock`; none where the shop keeps no stock.
            attributes: rows of `features.product_attributes`.
            as_of: last day that is known.
        """
        first = max(sales["order_date"].min(), as_of - pd.Timedelta(days=HISTORY_DAYS - 1))
        days = (as_of - first).days + 1
        began = sales.groupby("product_key")["order_date"].min()
        sales = sales[(sales["order_date"] >= first) & (sales["order_date"] <= as_of)]
        keys = np.sort(sales["product_key"].unique()).astype(object)
        place = pd.Index(keys)
        units = np.zeros((days, len(keys)), np.float32)
        row = (sales["order_date"] - first).dt.days.to_numpy()
        np.add.at(units, (row, place.get_indexer(sales["product_key"])), sales["units"].to_numpy())
        known = attributes.set_index("product_key").reindex(keys)
        launch = began.reindex(keys).to_numpy("datetime64[D]")
        named = known["launched_date"].to_numpy("datetime64[D]")
        launch = np.where(np.isnat(named), launch, np.minimum(named, launch))
        age = (launch - np.datetime64(first, "D")).astype(int)
        observed = np.arange(days)[:, None] >= age[None, :]
        sold_out = np.zeros_like(observed)
        available, incoming = np.full(len(keys), np.nan), np.full(len(keys), np.nan)
        has_books = np.zeros(len(keys), bool)
        stock = stock[stock["product_key"].isin(place) & (stock["valid_from"] <= as_of)]
        ends = stock["valid_until"].fillna(as_of + pd.Timedelta(days=1))
        starts = (stock["valid_from"] - first).dt.days.clip(lower=0).to_numpy()
        stops = (ends - first).dt.days.clip(lower=0, upper=days).to_numpy()
        columns = place.get_indexer(stock["product_key"])
        hidden = stock["is_unknown"].astype(bool).to_numpy()
        empty = (stock["available"].to_numpy() <= 0) & ~hidden
        has_books[columns] = True
        for at in np.flatnonzero((empty | hidden) & (stops > starts)):
            span, column = slice(starts[at], stops[at]), columns[at]
            sold = units[span, column] > 0
            sold_out[span, column] = sold & empty[at]
            observed[span, column] &= sold & empty[at]
        latest = stops == days
        latest &= starts < days
        sure = latest & ~hidden
        available[columns[sure]] = stock["available"].to_numpy()[sure]
        incoming[columns[sure]] = stock["incoming"].to_numpy()[sure]
        lead = known["lead_time_days"].to_numpy(float)
        return cls(
            keys=keys,
            last_day=as_of,
            units=units,
            observed=observed,
            sold_out=sold_out,
            lead_days=np.where(np.isnan(lead), DEFAULT_LEAD_DAYS, lead)
            .clip(1, MAX_LEAD_DAYS)
            .astype(int),
            is_lead_assumed=np.isnan(lead),
            available=available,
            incoming=incoming,
            has_books=has_books,
            is_active=known["is_active"].astype("boolean").fillna(True).to_numpy(bool),
        )

    def until(self, days_ago: int) -> Panel:
        """What was known so many days ago; today's stock is not a part of it."""
        if not days_ago:
            return self
        nothing = np.full(len(self.keys), np.nan)
        return replace(
            self,
            last_day=self.last_day - pd.Timedelta(days=days_ago),
            units=self.units[:-days_ago],
            observed=self.observed[:-days_ago],
            sold_out=self.sold_out[:-days_ago],
            available=nothing,
            incoming=nothing,
        )

    def demand(self) -> np.ndarray:
        """Units that were asked for: sold-out days count as ordinary ones at least."""
        clear = self.observed & ~self.sold_out
        recent = clear[-ORDINARY_DAYS:]
        ordinary = (self.units[-ORDINARY_DAYS:] * recent).sum(axis=0) / np.maximum(
            recent.sum(axis=0), 1
        )
        return np.where(self.sold_out, np.maximum(self.units, ordinary), self.units)

    def after(self, days_ago: int) -> tuple[np.ndarray, np.ndarray]:
        """What was sold within each product's lead time from so many days ago on.

        Returns:
            Units, and whether they are all that was asked for: the time is over, and there was
            stock on each of its days; both of shape (products,).
        """
        start = len(self.units) - days_ago
        stop = np.minimum(start + self.lead_days, len(self.units))
        total = window_sums(self.units, start, stop)
        clear = window_sums((self.observed & ~self.sold_out).astype(np.float32), start, stop)
        return total, (clear == self.lead_days) & (self.lead_days <= days_ago)


def window_sums(values: np.ndarray, start: int, stop: np.ndarray) -> np.ndarray:
    """Sum of the rows [start, stop) of each column, float64."""
    total = np.vstack(
        [np.zeros((1, values.shape[1])), np.cumsum(values[start:], axis=0, dtype=float)]
    )
    return total[stop - start, np.arange(values.shape[1])]
