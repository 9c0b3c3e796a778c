"""Purchases of made-up shops whose behaviour is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.customers.history import History

TODAY = pd.Timestamp("2024-06-30")


def buyers(
    n: int, days: int, *, seed: int = 4, drop: tuple[float, float] = (1.0, 4.0)
) -> pd.DataFrame:
    """Rows of `features.customer_days` of people who buy until they stop; the last day is TODAY.

    Rates are gamma(.6) with a mean of one purchase in 33 days, after each purchase people leave
    with a probability that is beta(*drop), a purchase is lognormal around a mean of their own.
    """
    random = np.random.default_rng(seed)
    rows = []
    for customer in range(n):
        day, rate = random.uniform(0, days), random.gamma(0.6, 1 / 20)
        leaves, taste = random.beta(*drop), random.lognormal(3, 0.6)
        while day < days:
            rows.append((f"c{customer:04}", int(day), taste * random.lognormal(0, 0.3)))
            if random.random() < leaves:
                break
            day += random.exponential(1 / rate) + 1
    found = pd.DataFrame(rows, columns=["customer_key", "day", "demand_amount"]).drop_duplicates(
        ["customer_key", "day"]
    )
    return pd.DataFrame(
        {
            "customer_key": found["customer_key"],
            "activity_date": TODAY - pd.to_timedelta(days - 1 - found["day"], unit="D"),
            "orders": 1,
            "is_purchase": True,
            "demand_amount": found["demand_amount"],
            "returns_amount": 0.0,
            "same_day_returns_amount": 0.0,
        }
    )


def history(days: pd.DataFrame, as_of: pd.Timestamp = TODAY) -> History:
    """The history of such rows."""
    return History.from_frame(days, as_of)
