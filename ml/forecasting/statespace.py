"""SARIMA, exponential smoothing and Theta: models of a level that wanders, with a weekly season.

They see one value per weekday on which the shop opens, so that a shop that is shut on Saturdays
has a week of six days; a holiday is a gap. None of them knows the yearly season, so they are
strong for shops without one, and short histories, and lose where the season rules.

Sources: Box & Jenkins 1970 (SARIMA); Hyndman et al. 2008, "Forecasting with Exponential
Smoothing" (ETS); Assimakopoulos & Nikolopoulos 2000, International Journal of Forecasting 16
(Theta). Fitted by statsmodels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.forecasting.history import History

# older days no longer change the level, and the Kalman filter's time grows with each
MAX_DAYS = 500
MIN_WEEKS = 4  # fewer say nothing about a season
SARIMA_ORDER = (1, 1, 1)
SARIMA_SEASONAL_ORDER = (0, 1, 1)
SARIMA_STEPS = 30  # of the optimiser: it is near its end after 20, and the last digits cost most


@dataclass(frozen=True)
class OpenWeek:
    """A history as its open weekdays alone.

    Attributes:
        days: (n,) dates on weekdays that the shop opens on.
        values: (n,) on the models' scale; NaN on holidays and on days without a value.
        season: days of its week.
    """

    days: pd.DatetimeIndex
    values: np.ndarray
    season: int

    @classmethod
    def of(cls, history: History) -> OpenWeek:
        """The last `MAX_DAYS` open weekdays of a history."""
        recent = history.closed[-2 * MAX_DAYS :]
        weekday = history.dates.day_of_week[-2 * MAX_DAYS :]
        closed = {day for day in range(7) if recent[weekday == day].mean() > 0.5}
        open_weekday = ~history.dates.day_of_week.isin(list(closed))
        values = np.full(len(history.dates), np.nan)
        values[history.used] = history.scale.forward(history.values[history.used])
        keep = np.flatnonzero(open_weekday)[-MAX_DAYS:]
        keep = keep[np.isfinite(values[keep]).argmax() :]
        return cls(history.dates[keep], values[keep], 7 - len(closed))

    @property
    def is_enough(self) -> bool:
        """Whether a season can be told from noise."""
        known = np.isfinite(self.values)
        return (
            self.season > 1
            and int(known.sum()) >= MIN_WEEKS * self.season
            and float(np.ptp(self.values[known])) > 0
        )

    def filled(self) -> np.ndarray:
        """The values with each gap taken from the week before."""
        weeks = pd.Series(self.values).groupby(np.arange(len(self.values)) % self.season)
        return weeks.ffill().bfill().to_numpy()

    def position(self, future: pd.DatetimeIndex) -> np.ndarray:
        """For each future date, how many open weekdays lie between the last one and it, from 0."""
        open_weekdays = sorted(set(self.days.day_of_week))
        dates = pd.date_range(self.days[-1] + pd.Timedelta(days=1), future[-1])
        step = np.cumsum(np.isin(dates.day_of_week, open_weekdays)) - 1
        # a weekday that is never open takes the day before: it is masked as closed anyway
        return np.maximum(step[(future - dates[0]).days], 0)


def sarima(history: History, future: pd.DatetimeIndex) -> np.ndarray | None:
    """SARIMA(1,1,1)(0,1,1) on the open week; None where there is too little to tell a season."""
    week = OpenWeek.of(history)
    if not week.is_enough:
        return None
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped early, or started far off
        fitted = SARIMAX(
            week.values,
            order=SARIMA_ORDER,
            seasonal_order=(*SARIMA_SEASONAL_ORDER, week.season),
            concentrate_scale=True,
        ).fit(disp=False, maxiter=SARIMA_STEPS)
        steps = week.position(future)
        ahead = np.asarray(fitted.forecast(int(steps[-1]) + 1))
    burn = 2 * week.season  # the filter is still finding the season
    return _back(history, week, np.asarray(fitted.fittedvalues), burn, ahead[steps])


def ets(history: History, future: pd.DatetimeIndex) -> np.ndarray | None:
    """Exponential smoothing: additive errors and season, damped trend; None as in `sarima`."""
    week = OpenWeek.of(history)
    if not week.is_enough:
        return None
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = ExponentialSmoothing(
            week.filled(),
            trend="add",
            damped_trend=True,
            seasonal="add",
            seasonal_periods=week.season,
            initialization_method="heuristic",
        ).fit()
        steps = week.position(future)
        ahead = np.asarray(fitted.forecast(int(steps[-1]) + 1))
    return _back(history, week, np.asarray(fitted.fittedvalues), 0, ahead[steps])


def theta(history: History, future: pd.DatetimeIndex) -> np.ndarray | None:
    """The Theta method on the open week; None as in `sarima`."""
    week = OpenWeek.of(history)
    if not week.is_enough:
        return None
    from statsmodels.tsa.forecasting.theta import ThetaModel

    values = week.filled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = ThetaModel(values, period=week.season, use_test=False, method="additive").fit()
        steps = week.position(future)
        ahead = np.asarray(fitted.forecast(int(steps[-1]) + 1))
    return _back(history, week, values, 0, ahead[steps])


def _back(
    history: History, week: OpenWeek, fitted: np.ndarray, burn: int, ahead: np.ndarray
) -> np.ndarray:
    """Expected values in the series' unit, see `Scale.back`."""
    known = np.isfinite(week.values) & np.isfinite(fitted)
    known[:burn] = False
    actual = history.values[history.dates.isin(week.days[known])]
    return history.scale.back(fitted[known], actual, ahead)
