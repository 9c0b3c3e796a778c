"""A daily series up to the day on which a forecast stands, and the scale that models work on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

YEAR_DAYS = 364  # 52 whole weeks: keeps the weekday
# how often a shop sells of late counts by so many open days, and by the last year as so many more
LATE_DAYS = 91
PRIOR_DAYS = 28


@dataclass(frozen=True)
class History:
    """One daily series up to its origin.

    Attributes:
        dates: consecutive calendar days, ascending, shape (n,).
        values: the series, in its unit, shape (n,).
        closed: days on which the shop was closed, shape (n,).
        non_negative: False for series such as profit, which are modelled without logarithm.
    """

    dates: pd.DatetimeIndex
    values: np.ndarray
    closed: np.ndarray
    non_negative: bool = True

    @cached_property
    def used(self) -> np.ndarray:
        """Days that models are fitted to: open, and above 0 where a logarithm is taken."""
        positive = self.values > 0 if self.non_negative else np.ones(len(self.values), bool)
        return ~self.closed & np.isfinite(self.values) & positive

    @cached_property
    def scale(self) -> Scale:
        """The scale of this series."""
        return Scale(self.non_negative, self._share_used)

    @property
    def closed_value(self) -> float:
        """What to expect of a closed day: 0, but the mean of last year's for a signed series.

        Overheads go on while the shop is shut, so its profit isn't 0.
        """
        shut = self.values[self.closed & np.isfinite(self.values)][-YEAR_DAYS:]
        return 0.0 if self.non_negative or not len(shut) else float(shut.mean())

    @property
    def _share_used(self) -> float:
        """Of the open days, those with a value: of late, drawn towards the last year's share."""
        used = self.used[~self.closed][-YEAR_DAYS:]
        if not len(used):
            return 0.0
        late = used[-LATE_DAYS:]
        return float((late.sum() + PRIOR_DAYS * used.mean()) / (len(late) + PRIOR_DAYS))

    def until(self, origin: pd.Timestamp) -> History:
        """The same series with nothing after `origin`."""
        known = np.asarray(self.dates <= origin)
        return History(self.dates[known], self.values[known], self.closed[known], self.non_negative)


@dataclass(frozen=True)
class Scale:
    """Between the unit of a series and the scale its models are linear in."""

    logarithm: bool
    share_of_open_days: float  # with a value above 0; 1 for a shop that sells every open day

    def forward(self, values: np.ndarray) -> np.ndarray:
        """To the models' scale."""
        return np.log(values) if self.logarithm else values

    def back(self, fitted: np.ndarray, actual: np.ndarray, future: np.ndarray) -> np.ndarray:
        """Expected values of `future` (models' scale) in the series' unit.

        Args:
            fitted: in-sample fit, models' scale, shape (n,).
            actual: what was fitted, series' unit, shape (n,).
            future: forecast, models' scale, shape (m,).
        """
        if not self.logarithm:
            return future
        recent = slice(-YEAR_DAYS, None)
        smearing = actual[recent].mean() / np.exp(fitted[recent]).mean()
        return np.exp(future) * smearing * self.share_of_open_days
