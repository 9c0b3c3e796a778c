"""Purchase histories of all customers, and what was known of each on a past day.

Features of many cut-offs are computed here from the finest grain, one row per customer and day,
instead of read from a table per cut-off. `up_to` takes the future away before anything is
computed: what a cut-off can't know isn't there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from ml.asof import require_past

WINDOWS = (30, 90, 180, 365)
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class History:
    """Days on which customers ordered or sent something back, sorted by customer and day.

    Attributes:
        keys: customer keys, sorted, shape (customers,); all, also those who come later.
        customer: index into `keys`, shape (days,).
        day: datetime64[D], shape (days,).
        orders: orders of the day, shape (days,).
        sales: ordered on the day less what of it was sent back on that same day, not below 0;
            store currency, shape (days,).
        net: ordered less sent back on the day, whenever that was ordered, shape (days,).
        returns: sent back on the day, shape (days,).
        is_purchase: something was ordered and not all of it cancelled on the same day.
        as_of: last day that is known.
    """

    keys: np.ndarray
    customer: np.ndarray
    day: np.ndarray
    orders: np.ndarray
    sales: np.ndarray
    net: np.ndarray
    returns: np.ndarray
    is_purchase: np.ndarray
    as_of: pd.Timestamp

    @classmethod
    def from_frame(cls, days: pd.DataFrame, as_of: pd.Timestamp) -> History:
        """From rows of `features.customer_days` in any order.

        Args:
            days: customer_key, activity_date, orders, is_purchase, demand_amount, returns_amount,
                same_day_returns_amount; one row per customer and day.
            as_of: the last complete day.

        Raises:
            LeakError: a row is dated after the as-of date.
        """
        require_past(days, ("activity_date",), as_of)
        days = days.sort_values(["customer_key", "activity_date"])
        keys, customer = np.unique(days["customer_key"].to_numpy(object), return_inverse=True)
        demand = days["demand_amount"].to_numpy(float)
        returns = days["returns_amount"].to_numpy(float)
        orders = days["orders"].to_numpy(float)
        # what comes back of earlier orders takes nothing from today's
        same_day = days["same_day_returns_amount"].to_numpy(float)
        return cls(
            keys=keys,
            customer=customer,
            day=days["activity_date"].to_numpy().astype("datetime64[D]"),
            orders=orders,
            sales=np.where(orders > 0, np.maximum(demand - same_day, 0), 0.0),
            net=demand - returns,
            returns=returns,
            is_purchase=days["is_purchase"].to_numpy(bool),
            as_of=as_of,
        )

    @cached_property
    def first_day(self) -> pd.Timestamp:
        """First day of the shop; the as-of date where there is none."""
        return pd.Timestamp(self.day.min()) if len(self.day) else self.as_of

    @property
    def length_days(self) -> int:
        """Days from the first one to the as-of date."""
        return (self.as_of - self.first_day).days

    def up_to(self, date: pd.Timestamp) -> History:
        """The history as it was known on an earlier day; keys stay, so rows can be matched."""
        known = self.day <= np.datetime64(date, "D")
        return replace(
            self,
            customer=self.customer[known],
            day=self.day[known],
            orders=self.orders[known],
            sales=self.sales[known],
            net=self.net[known],
            returns=self.returns[known],
            is_purchase=self.is_purchase[known],
            as_of=date,
        )

    def between(self, start: pd.Timestamp, end: pd.Timestamp, values: np.ndarray) -> np.ndarray:
        """Sum per customer of `values` over (start, end], shape (customers,)."""
        inside = (self.day > np.datetime64(start, "D")) & (self.day <= np.datetime64(end, "D"))
        return np.bincount(self.customer[inside], values[inside], minlength=len(self.keys))

    @cached_property
    def gaps(self) -> np.ndarray:
        """Days between consecutive purchases of one customer, all customers together."""
        customer, day = self.customer[self.is_purchase], self.day[self.is_purchase]
        same = customer[1:] == customer[:-1]
        return (np.diff(day) / _DAY)[same]


def snapshot(history: History, horizon_days: int) -> pd.DataFrame:
    """What is known of each customer with a purchase on the as-of date, sorted by customer key.

    Args:
        history: see `History`.
        horizon_days: what the same season of the year before is measured over.

    Returns:
        One row per customer, indexed by the position in `history.keys`: customer_key, as_of_date,
        last_order_date, recency_days, tenure_days, order_days, orders, order_days_<n>d and
        demand_<n>d_amount of the last n days, order_days_same_season (the same days of the year
        before as those ahead; 52 weeks keep the weekday), longest_gap_days and gap_deviation_days
        (NaN after one purchase), sales_amount, monetary_amount (net of all returns),
        returns_amount, last_demand_amount. Amounts in store currency.
    """
    n = len(history.keys)
    bought = history.is_purchase
    customer, day, sales = history.customer[bought], history.day[bought], history.sales[bought]
    ago = ((np.datetime64(history.as_of, "D") - day) / _DAY).astype(int)
    counts = np.bincount(customer, minlength=n)
    some = np.flatnonzero(counts)
    first_row = np.searchsorted(customer, some, side="left")
    last_row = np.searchsorted(customer, some, side="right") - 1

    def total(rows: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        weights = None if values is None else values[rows]
        return np.bincount(customer[rows], weights, minlength=n)[some]

    follows = np.flatnonzero(customer[1:] == customer[:-1]) + 1
    gap = ago[follows - 1] - ago[follows]
    of_gap = customer[follows]
    longest = np.zeros(n)
    np.maximum.at(longest, of_gap, gap)
    gaps = np.maximum(np.bincount(of_gap, minlength=n), 1)
    mean_gap = np.bincount(of_gap, gap, minlength=n) / gaps
    variance = np.bincount(of_gap, (gap - mean_gap[of_gap]) ** 2, minlength=n) / gaps
    repeats = counts[some] > 1
    table = {
        "customer_key": history.keys[some],
        "as_of_date": history.as_of,
        "last_order_date": day[last_row],
        "recency_days": ago[last_row],
        "tenure_days": ago[first_row],
        "order_days": counts[some],
        "orders": np.bincount(customer, history.orders[bought], minlength=n)[some],
        "longest_gap_days": np.where(repeats, longest[some], np.nan),
        "gap_deviation_days": np.where(repeats, np.sqrt(variance[some]), np.nan),
        "order_days_same_season": total((ago < 364) & (ago >= 364 - horizon_days)),
        "sales_amount": np.bincount(customer, sales, minlength=n)[some],
        "monetary_amount": np.bincount(history.customer, history.net, minlength=n)[some],
        "returns_amount": np.bincount(history.customer, history.returns, minlength=n)[some],
        "last_demand_amount": sales[last_row],
    }
    for window in WINDOWS:
        table[f"order_days_{window}d"] = total(ago < window)
        table[f"demand_{window}d_amount"] = total(ago < window, sales)
    frame = pd.DataFrame(table, index=some)
    return require_past(frame, ("last_order_date",), history.as_of)


def thinned(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """Every n-th row, so that at most `most` are left: keys say nothing about their customers."""
    return frame.iloc[:: -(-len(frame) // most)] if len(frame) > most else frame


def purchase_summary(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Repeats, days from first to last purchase, and age in days: BG/NBD's input."""
    repeats = frame["order_days"].to_numpy(float) - 1
    age = frame["tenure_days"].to_numpy(float)
    return repeats, age - frame["recency_days"].to_numpy(float), age
