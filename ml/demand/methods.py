"""Methods for the demand of a lead time: a mean and quantiles per product.

All run over all products at once; days on which demand could not be seen change nothing.

Sources: Croston 1972, Operational Research Quarterly 23; its bias corrected by Syntetos & Boylan
2005, International Journal of Forecasting 21 (SBA); Teunter, Syntetos & Babai 2011, European
Journal of Operational Research 214 (TSB, which forgets products that die); variance of a sum of
simple exponential smoothing: Hyndman et al. 2008, "Forecasting with Exponential Smoothing".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from ml.demand.panel import Panel

QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.98)
RECENT_DAYS = 364  # of the spread and the weekday profile: whole weeks, all seasons
LEVEL_WEIGHTS = (0.02, 0.05, 0.1, 0.2)  # of a new day; each product takes what would have been best
INTERVAL_WEIGHT = 0.1  # of a new demand, Croston's own
OCCURRENCE_WEIGHT = 0.03  # of a new day in TSB
START_DAYS = 28
CLOSED = 0.05  # a weekday with less than this share of an ordinary one is closed


@dataclass(frozen=True)
class Demand:
    """Demand of each product's lead time.

    Attributes:
        mean: expected units, shape (products,).
        quantiles: shape (products, QUANTILES).
    """

    mean: np.ndarray
    quantiles: np.ndarray


@dataclass(frozen=True)
class History:
    """What the methods share of a panel."""

    panel: Panel

    @cached_property
    def demand(self) -> np.ndarray:
        """Units asked for per day, shape (days, products), float32."""
        return self.panel.demand().astype(np.float32)

    @cached_property
    def weekday(self) -> np.ndarray:
        """Share of an ordinary day that the shop sells on each day of the week, Monday first."""
        last = self.demand[-RECENT_DAYS:].sum(axis=1)
        day = self.weekdays(-len(last) + 1, 1)
        share = np.array([last[day == d].mean() if (day == d).any() else 0.0 for d in range(7)])
        return share / share.mean() if share.sum() > 0 else np.ones(7)

    def weekdays(self, first: int, stop: int) -> np.ndarray:
        """Days of the week, 0 for Monday, of days counted from the last one of the panel."""
        return (self.panel.last_day.day_of_week + np.arange(first, stop)) % 7

    @cached_property
    def daily_mean(self) -> np.ndarray:
        """Mean of the observed days of the last `RECENT_DAYS`, shape (products,)."""
        seen = self.panel.observed[-RECENT_DAYS:]
        total = (self.demand[-RECENT_DAYS:] * seen).sum(axis=0)
        return total / np.maximum(seen.sum(axis=0), 1)

    @cached_property
    def daily_variance(self) -> np.ndarray:
        """Their variance."""
        seen = self.panel.observed[-RECENT_DAYS:]
        square = ((self.demand[-RECENT_DAYS:] - self.daily_mean) ** 2 * seen).sum(axis=0)
        return square / np.maximum(seen.sum(axis=0) - 1, 1)


def last_period(history: History) -> Demand:
    """The baseline: as much as in the last lead time, by chance as Poisson's.

    Days on which demand could not be seen are passed over: what is out of stock is still asked for.
    """
    panel = history.panel
    seen_since = np.cumsum(panel.observed[::-1], axis=0)[::-1]  # that day included
    recent = panel.observed & (seen_since <= panel.lead_days)
    total = (history.demand * recent).sum(axis=0)
    mean = total / np.maximum(recent.sum(axis=0), 1) * panel.lead_days
    return _counts(mean, mean)


def level(history: History) -> Demand:
    """Simple exponential smoothing of the level, times the shop's weekdays."""
    panel = history.panel
    share = history.weekday[history.weekdays(1 - len(history.demand), 1)]
    is_open = share > CLOSED
    level_of_day = history.demand[is_open] / share[is_open, None].astype(np.float32)
    seen = panel.observed[is_open]
    best = np.full(len(panel.keys), np.inf)
    mean_level, variance, weight = np.zeros((3, len(panel.keys)))
    for one in LEVEL_WEIGHTS:
        value, error = _smooth(level_of_day, seen, one)
        better = error < best
        best = np.where(better, error, best)
        mean_level, weight = np.where(better, value, mean_level), np.where(better, one, weight)
        variance = np.where(better, error, variance)
    ahead = history.weekday[history.weekdays(1, int(panel.lead_days.max()) + 1)]
    open_days = np.cumsum(ahead > CLOSED)[panel.lead_days - 1]
    mean = mean_level * np.cumsum(ahead)[panel.lead_days - 1]
    growth = 1 + weight * (open_days - 1) + weight**2 * (open_days - 1) * (2 * open_days - 1) / 6
    return _counts(mean, variance * open_days * growth)


def sba(history: History) -> Demand:
    """Croston's size over interval, with the correction of Syntetos and Boylan."""
    size, interval, _ = _intermittent(history)
    rate = (1 - INTERVAL_WEIGHT / 2) * size / interval
    return _of_rate(history, rate)


def tsb(history: History) -> Demand:
    """Size times the probability of a demand, which falls on each day without one."""
    size, _, occurrence = _intermittent(history)
    return _of_rate(history, size * occurrence)


def windows(history: History) -> Demand:
    """What the lead times of the last year sold: their own quantiles (a bootstrap of windows)."""
    panel = history.panel
    filled = np.where(panel.observed, history.demand, history.daily_mean)[-2 * RECENT_DAYS :]
    began = panel.observed.argmax(axis=0) - (len(panel.observed) - len(filled))
    total = np.vstack([np.zeros((1, filled.shape[1])), np.cumsum(filled, axis=0, dtype=float)])
    mean = np.zeros(filled.shape[1])
    quantiles = np.zeros((filled.shape[1], len(QUANTILES)))
    for days in np.unique(panel.lead_days):
        of = np.flatnonzero(panel.lead_days == days)
        days = min(int(days), len(filled))
        sums = (total[days:, of] - total[:-days, of])[-RECENT_DAYS:]
        starts = np.arange(len(filled) - days + 1)[-len(sums) :, None]
        # windows from before the product was on sale say nothing; one always remains
        early = starts < np.minimum(began[of], len(filled) - days)
        sums = np.where(early, np.nan, sums)
        mean[of] = np.nanmean(sums, axis=0)
        quantiles[of] = _column_quantiles(sums)
    return Demand(mean, quantiles)


BASELINE = "last_period"
METHODS: Mapping[str, Callable[[History], Demand]] = {
    BASELINE: last_period,
    "level": level,
    "sba": sba,
    "tsb": tsb,
    "windows": windows,
}
# what may answer for a pattern, besides the baseline
OF_PATTERN: Mapping[str, tuple[str, ...]] = {
    "smooth": ("level", "windows"),
    "erratic": ("level", "windows"),
    "intermittent": ("sba", "tsb"),
    "lumpy": ("windows", "tsb"),
}


def _smooth(values: np.ndarray, seen: np.ndarray, weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Last level, and mean squared one-step error of the last year, of each column."""
    first = seen & (np.cumsum(seen, axis=0) <= START_DAYS)
    state = (values * first).sum(axis=0) / np.maximum(first.sum(axis=0), 1)
    square, count = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for day in range(len(values)):
        error = np.where(seen[day], values[day] - state, 0)
        state = state + np.float32(weight) * error
        if day >= len(values) - RECENT_DAYS:
            square += error**2
            count += seen[day]
    return state, square / np.maximum(count, 1)


def _intermittent(history: History) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smoothed size of a demand, days between two, and probability of one on a day."""
    demand, seen = history.demand, history.panel.observed
    positive = (demand > 0) & seen
    count = positive.sum(axis=0)
    size = np.where(count, (demand * positive).sum(axis=0) / np.maximum(count, 1), 0)
    occurrence = count / np.maximum(seen.sum(axis=0), 1)
    interval = 1 / np.maximum(occurrence, 1e-6)
    waited = np.ones(demand.shape[1])
    for day in range(len(demand)):
        is_demand = positive[day]
        size = np.where(is_demand, size + INTERVAL_WEIGHT * (demand[day] - size), size)
        interval = np.where(is_demand, interval + INTERVAL_WEIGHT * (waited - interval), interval)
        step = OCCURRENCE_WEIGHT * (is_demand - occurrence)
        occurrence = np.where(seen[day], occurrence + step, occurrence)
        waited = np.where(is_demand, 1, waited + seen[day])
    return size, interval, occurrence


def _of_rate(history: History, rate: np.ndarray) -> Demand:
    """A constant rate per day with the spread that the last year's days had around theirs."""
    spread = history.daily_variance / np.maximum(history.daily_mean, 1e-9)
    mean = rate * history.panel.lead_days
    return _counts(mean, mean * spread)


def _counts(mean: np.ndarray, variance: np.ndarray) -> Demand:
    """Quantiles of the negative binomial with this mean and variance; Poisson where no wider."""
    mean = np.maximum(mean, 0)
    excess = np.maximum(variance - mean, 1e-3 * np.maximum(mean, 1e-9))
    size = np.maximum(mean, 1e-9) ** 2 / excess
    levels = np.array(QUANTILES)[None, :]
    found = stats.nbinom.ppf(
        levels, size[:, None], (size / (size + np.maximum(mean, 1e-9)))[:, None]
    )
    return Demand(mean, np.where(mean[:, None] > 0, found, 0.0))


def _column_quantiles(values: np.ndarray) -> np.ndarray:
    """`QUANTILES` of each column without its NaN, shape (columns, QUANTILES)."""
    ordered = np.sort(values, axis=0)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=0)
    result = np.zeros((values.shape[1], len(QUANTILES)))
    for column, quantile in enumerate(QUANTILES):
        at = quantile * (count - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, count - 1)
        which = np.arange(values.shape[1])
        result[:, column] = ordered[low, which] + (at - low) * (
            ordered[high, which] - ordered[low, which]
        )
    return result
