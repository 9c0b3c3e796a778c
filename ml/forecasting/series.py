"""One daily series as the warehouse knows it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ml import asof
from ml.forecasting import calendar
from ml.forecasting.history import History

YEAR_DAYS = 365
TRAIN_YEARS = 5  # older days cost time and no longer describe the shop


class TooLittleDataError(Exception):
    """The series can't be forecast; the message says what is missing."""


@dataclass(frozen=True)
class Series:
    """What is known of one daily series.

    Attributes:
        dates: consecutive calendar days, ascending, shape (n,).
        values: the series, in its unit, shape (n,); NaN where unknown.
        activity: orders per day, shape (n,), from which closed days are learned.
        non_negative: whether a forecast below 0 makes no sense.
    """

    dates: pd.DatetimeIndex
    values: np.ndarray
    activity: np.ndarray
    non_negative: bool = True

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, non_negative: bool = True) -> Series:
        """From columns date, value, activity in any row order; missing days count as 0.

        Raises:
            ValueError: a date stands twice.
        """
        by_date = frame.set_index(pd.DatetimeIndex(frame["date"])).sort_index()
        if by_date.index.has_duplicates:
            raise ValueError("a date stands twice in the series")
        if by_date.empty:
            return cls(pd.DatetimeIndex([]), np.array([]), np.array([]), non_negative)
        days = pd.date_range(by_date.index[0], by_date.index[-1])
        missing = ~days.isin(by_date.index)
        values = by_date["value"].reindex(days).to_numpy(float, copy=True)
        activity = by_date["activity"].reindex(days).to_numpy(float, copy=True)
        values[missing], activity[missing] = 0.0, 0.0
        return cls(days, values, activity, non_negative)

    def until(self, origin: pd.Timestamp) -> Series:
        """The same series with nothing after `origin`, and at most `TRAIN_YEARS` before it."""
        first = origin - pd.Timedelta(days=TRAIN_YEARS * YEAR_DAYS)
        known = np.asarray((self.dates <= origin) & (self.dates > first))
        return replace(
            self, dates=self.dates[known], values=self.values[known], activity=self.activity[known]
        )

    def history(self, as_of: pd.Timestamp) -> tuple[History, calendar.ClosedDays]:
        """The series with its closed days, and the rules that found them.

        Raises:
            LeakError: the series knows a day after `as_of`, the day that a forecast stands on.
        """
        asof.require_past(pd.DataFrame({"date": self.dates}), ["date"], as_of)
        rules = calendar.learn(self.dates, self.activity)
        # an open-by-rule day may still be shut, so what happened wins over the rule
        closed = rules.closed(self.dates) & (self.activity == 0)
        return History(self.dates, self.values, closed, self.non_negative), rules

    @property
    def level(self) -> float:
        """Mean absolute value of the last year."""
        return float(np.nanmean(np.abs(self.values[-YEAR_DAYS:])))
