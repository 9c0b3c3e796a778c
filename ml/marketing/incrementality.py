"""How much of what channels are credited with would not have come without them.

An order that a campaign touched may have come anyway. Orders of the whole shop tell: in weeks in
which campaigns are credited with ten percent more, by how many percent are there more in all?

    log orders = level of the season and the year + incrementality x credited share

Poisson pseudo-maximum likelihood on weeks. The level has six waves a year and a trend that may turn
every half year, so that campaigns of some weeks stand out of it. What is credited enters by the
response curves of the spend, not as counted: in a busy week chance alone touches more orders.
Needs two years, else no season can be told from a campaign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

MIN_WEEKS = 104
MIN_WEEKS_APART = 8  # with and without campaigns
WAVES = 6
KNOT_WEEKS = 26
LEVEL_WEEKS = 53
STEPS = 30
RIDGE = 1e-6


@dataclass(frozen=True)
class Incrementality:
    """Share of the credited orders that would not have come otherwise, with standard error."""

    share: float
    error: float
    weeks: int


def estimate(
    week_start: np.ndarray, orders: np.ndarray, credited: np.ndarray
) -> Incrementality | None:
    """The shop's incrementality, all channels together; None where it can't be told.

    Args:
        week_start: Mondays, datetime64, without gaps.
        orders: of the shop in each week.
        credited: orders that spend brings by the response curves.
    """
    weeks = len(orders)
    active = credited > 0
    if weeks < MIN_WEEKS or min(active.sum(), weeks - active.sum()) < MIN_WEEKS_APART:
        level_moves = active.all() and credited.std() > 0.25 * credited.mean()
        if weeks < MIN_WEEKS or not level_moves:
            return None
    level = pd.Series(orders).rolling(LEVEL_WEEKS, center=True, min_periods=LEVEL_WEEKS // 3).mean()
    share = credited / np.maximum(level.to_numpy(float), 1.0)
    design = np.column_stack([share, _level(week_start)])
    mean = np.maximum(orders, 0.5)
    penalty = RIDGE * np.eye(design.shape[1])
    for _ in range(STEPS):
        working = np.log(mean) + (orders - mean) / mean
        information = design.T @ (design * mean[:, None]) + penalty
        coefficients = np.linalg.solve(information, design.T @ (mean * working))
        mean = np.exp(np.clip(design @ coefficients, -20.0, 20.0))
    freedom = max(1, weeks - design.shape[1])
    excess = max(1.0, float(((orders - mean) ** 2 / mean).sum()) / freedom)
    error = float(np.sqrt(excess * np.linalg.inv(information)[0, 0]))
    return Incrementality(float(coefficients[0]), error, weeks)


def _level(week_start: np.ndarray) -> np.ndarray:
    """Columns of the season and the trend."""
    dates = pd.DatetimeIndex(week_start)
    angle = 2 * np.pi * dates.day_of_year.to_numpy() / 365.25
    at = np.arange(len(dates))
    knots = range(KNOT_WEEKS, len(dates) - KNOT_WEEKS // 2, KNOT_WEEKS)
    columns = [np.ones(len(at)), at / LEVEL_WEEKS]
    columns += [np.clip(at - knot, 0, None) / LEVEL_WEEKS for knot in knots]
    columns += [wave(k * angle) for k in range(1, WAVES + 1) for wave in (np.sin, np.cos)]
    return np.column_stack(columns)
