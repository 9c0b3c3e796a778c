"""Daily forecasting models, from the trivial baseline to Prophet.

Each model is a function `(history, future_dates) -> expected values on open days`, in the unit of
the history; `forecast_all` fills in the closed days. All of them model open days only.

The models work on a scale: the logarithm for series that can't be negative (so that effects
multiply), the value itself for series that can (profit). `Scale.back` turns a fit on the
logarithm into a mean, not a median, by Duan's smearing factor (Duan 1983, JASA 78).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ml.failures import Failures
from ml.forecasting import statespace, trees
from ml.forecasting.history import YEAR_DAYS, History

MIN_YEARLY_DAYS = 365  # a yearly pattern is fitted from this much history on
RECENT_OPEN_DAYS = 28
FOURIER_ORDER = 4
RIDGE_PENALTY = 1.0
LEVEL_WINDOW_DAYS = 21
GROWTH_WINDOW_DAYS = 91
GROWTH_BOUNDS = (0.5, 2.0)
TREND_HALF_LIFE_DAYS = 180  # a trend halves in this time: no shop grows like its best year for ever
PROPHET_YEARLY_ORDER = 6
PROPHET_CHANGEPOINT_SCALE = 0.01


Model = Callable[[History, pd.DatetimeIndex], np.ndarray | None]


def seasonal_naive(history: History, future: pd.DatetimeIndex) -> np.ndarray:
    """The baseline: the last open day of the same weekday."""
    open_days = ~history.closed
    weekday, values = history.dates.day_of_week[open_days], history.values[open_days]
    last = pd.Series(values, index=weekday).groupby(level=0).last()
    return future.day_of_week.map(last).to_numpy(float, na_value=values[-7:].mean())


def recent_level(history: History, future: pd.DatetimeIndex) -> np.ndarray:
    """The mean of the last four weeks times the weekday's share of it."""
    profile = _weekday_profile(history)
    level = (history.values[history.used] / profile[history.dates.day_of_week[history.used]])[
        -RECENT_OPEN_DAYS:
    ].mean()
    return level * profile[future.day_of_week] * history.scale.share_of_open_days


def last_year(history: History, future: pd.DatetimeIndex) -> np.ndarray:
    """The level of the same three weeks a year ago times the weekday's share of it.

    With less than a year of history: `recent_level`.
    """
    if len(history.dates) < MIN_YEARLY_DAYS or not history.non_negative:
        return recent_level(history, future)
    profile = _weekday_profile(history)
    adjusted = pd.Series(np.nan, index=history.dates)
    used = history.used
    adjusted[used] = history.values[used] / profile[history.dates.day_of_week[used]]
    level = adjusted.rolling(LEVEL_WINDOW_DAYS, center=True, min_periods=1).mean().ffill().bfill()
    n = len(history.dates)
    ahead = (future - history.dates[-1]).days.to_numpy()
    # beyond one year ahead, two years ago is the first that is known
    years = np.maximum(1, -(-ahead // YEAR_DAYS))
    source = np.maximum(n - 1 + ahead - years * YEAR_DAYS, 0)
    return level.to_numpy()[source] * profile[future.day_of_week] * history.scale.share_of_open_days


def last_year_with_growth(history: History, future: pd.DatetimeIndex) -> np.ndarray:
    """`last_year` times the growth of the last quarter over the same quarter a year ago."""
    return last_year(history, future) * _growth(history)


def ridge(history: History, future: pd.DatetimeIndex) -> np.ndarray:
    """Ridge regression on weekday and the yearly Fourier terms, without trend."""
    return _ridge(history, future, trend=False)


def ridge_with_trend(history: History, future: pd.DatetimeIndex) -> np.ndarray:
    """`ridge` with a straight line in time, damped in the future."""
    return _ridge(history, future, trend=True)


def linear_regression(history: History, future: pd.DatetimeIndex) -> np.ndarray:
    """Least squares on weekday, month and a straight line in time, in the series' own unit.

    The textbook's model, with closed days known: effects add up instead of multiplying. Months
    are told apart from a year of history on; the line is damped in the future.
    """
    used, origin = history.used, history.dates[-1]

    def features(dates: pd.DatetimeIndex) -> np.ndarray:
        columns = [np.asarray(dates.day_of_week == day, float) for day in range(7)]
        if len(history.dates) >= MIN_YEARLY_DAYS:
            columns += [np.asarray(dates.month == month, float) for month in range(2, 13)]
            columns.append(damped_days((dates - origin).days.to_numpy()) / 365.25)
        return np.column_stack(columns)

    # weekdays that never occur leave the matrix short of rank: the least solution is meant
    effects = np.linalg.lstsq(features(history.dates[used]), history.values[used], rcond=None)[0]
    return features(future) @ effects * history.scale.share_of_open_days


def prophet(history: History, future: pd.DatetimeIndex) -> np.ndarray:
    """Prophet (Taylor & Letham 2018) on the models' scale, stiff changepoints, damped trend.

    The yearly term is forced on from one year of history: Prophet itself waits for two.
    """
    frame = pd.DataFrame(
        {
            "ds": history.dates[history.used],
            "y": history.scale.forward(history.values[history.used]),
        }
    )
    # a constant series has no scale for Prophet to divide by
    if len(frame) < 2 * 7 or np.ptp(frame["y"].to_numpy()) == 0:
        return recent_level(history, future)
    model = _quiet_prophet()(
        yearly_seasonality=PROPHET_YEARLY_ORDER if len(history.dates) >= MIN_YEARLY_DAYS else False,
        weekly_seasonality=True,
        daily_seasonality=False,
        changepoint_prior_scale=PROPHET_CHANGEPOINT_SCALE,
        uncertainty_samples=0,
    )
    model.fit(frame)
    trend, seasons = prophet_components(model, pd.Series([*frame["ds"], *future]))
    fitted, trend = trend + seasons, trend[len(frame) :]
    ahead = (future - history.dates[-1]).days.to_numpy()
    slope = (trend[-1] - trend[0]) / (ahead[-1] - ahead[0]) if len(ahead) > 1 else 0.0
    damping = slope * (damped_days(ahead) - ahead)
    return history.scale.back(
        fitted[: len(frame)], history.values[history.used], fitted[len(frame) :] + damping
    )


def prophet_components(model: Any, dates: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Trend and sum of the seasons of a fitted Prophet, as its own `predict` gives them.

    That one lays out tables of components for every call, which takes as long as the fit.
    """
    t = ((dates - model.start) / model.t_scale).to_numpy(float)
    k, m, beta = (model.params[name].mean(axis=0) for name in ("k", "m", "beta"))
    changes = model.params["delta"].mean(axis=0)
    trend = model.piecewise_linear(t, changes, k.mean(), m.mean(), model.changepoints_t)
    terms = [
        model.fourier_series(dates, season["period"], season["fourier_order"])
        for season in model.seasonalities.values()
    ]
    return trend * model.y_scale, np.hstack(terms) @ beta * model.y_scale


def damped_days(ahead: np.ndarray) -> np.ndarray:
    """Days ahead as a damped trend counts them: fewer and fewer, at most 260.

    Source: Gardner & McKenzie 1985, "Forecasting Trends in Time Series", Management Science 31.
    """
    rate = np.log(2) / TREND_HALF_LIFE_DAYS
    return np.where(ahead > 0, -np.expm1(-rate * np.maximum(ahead, 0)) / rate, ahead)


def _weekday_profile(history: History) -> np.ndarray:
    """Mean of each weekday over the mean of all, last year, shape (7,); 1 where unknown."""
    used = history.used
    if not history.non_negative or not used.any():
        return np.ones(7)
    weekday = history.dates.day_of_week[used].to_numpy()[-YEAR_DAYS:]
    values = history.values[used][-YEAR_DAYS:]
    means = pd.Series(values).groupby(weekday).mean().reindex(range(7))
    return (means / values.mean()).fillna(1.0).to_numpy()


def _growth(history: History) -> float:
    n = len(history.dates)
    if n < YEAR_DAYS + GROWTH_WINDOW_DAYS or not history.non_negative:
        return 1.0
    values = np.where(history.used, history.values, 0.0)
    now = values[-GROWTH_WINDOW_DAYS:].sum()
    before = values[-GROWTH_WINDOW_DAYS - YEAR_DAYS : -YEAR_DAYS].sum()
    return float(np.clip(now / before, *GROWTH_BOUNDS)) if before > 0 else 1.0


def _ridge(history: History, future: pd.DatetimeIndex, trend: bool) -> np.ndarray:
    used = history.used
    yearly = len(history.dates) >= MIN_YEARLY_DAYS
    origin = history.dates[-1]
    x = _calendar_features(history.dates[used], origin, yearly, trend)
    x_future = _calendar_features(future, origin, yearly, trend)
    y = history.scale.forward(history.values[used])
    centre, mean = x.mean(axis=0), y.mean()
    gram = (x - centre).T @ (x - centre) + RIDGE_PENALTY * np.eye(x.shape[1])
    slope = np.linalg.solve(gram, (x - centre).T @ (y - mean))
    return history.scale.back(
        mean + (x - centre) @ slope, history.values[used], mean + (x_future - centre) @ slope
    )


def _calendar_features(
    dates: pd.DatetimeIndex, origin: pd.Timestamp, yearly: bool, trend: bool
) -> np.ndarray:
    columns = [np.asarray(dates.day_of_week == day, float) for day in range(7)]
    if yearly:
        angle = 2 * np.pi * dates.day_of_year.to_numpy() / 365.25
        for k in range(1, FOURIER_ORDER + 1):
            columns += [np.sin(k * angle), np.cos(k * angle)]
    if trend:
        columns.append(damped_days((dates - origin).days.to_numpy()) / 365.25)
    return np.column_stack(columns)


def _quiet_prophet() -> type:
    """Prophet's class, imported late (it takes a second) and without its log lines."""
    for name in ("prophet", "cmdstanpy", "prophet.plot"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    from prophet import Prophet

    logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
    return Prophet


BASELINE = "seasonal_naive"

# simplest first: of two that are equally good, the first is champion
BASE_MODELS: Mapping[str, Model] = {
    "seasonal_naive": seasonal_naive,
    "recent_level": recent_level,
    "last_year": last_year,
    "last_year_with_growth": last_year_with_growth,
    "linear_regression": linear_regression,
    "ridge": ridge,
    "ridge_with_trend": ridge_with_trend,
    "prophet": prophet,
    "theta": statespace.theta,
    "ets": statespace.ets,
    "sarima": statespace.sarima,
    "gradient_boosting": trees.gradient_boosting,
    "random_forest": trees.random_forest,
}

# so dear that they are raced: dropped after a few origins where they are clearly behind
RACED = ("theta", "ets", "sarima", "gradient_boosting", "random_forest")

# means of unlike models (effects that multiply, effects that add up, what last year was), since
# averaging buys stability; with and without growth, the backtest decides
ENSEMBLES: Mapping[str, tuple[str, ...]] = {
    "ensemble": ("prophet", "ridge", "linear_regression", "last_year"),
    "ensemble_with_growth": (
        "prophet", "ridge_with_trend", "linear_regression", "last_year_with_growth",
    ),
}  # fmt: skip
ALL = (*BASE_MODELS, *ENSEMBLES)


def forecast_all(
    history: History,
    future: pd.DatetimeIndex,
    closed: np.ndarray,
    names: Iterable[str] = ALL,
    failures: Failures | None = None,
) -> pd.DataFrame:
    """Forecasts of models and ensembles.

    Args:
        history: up to the origin.
        future: days to forecast, ascending.
        closed: whether the shop is expected to be closed on them, shape (m,).
        names: which; what an ensemble needs is computed beside it.
        failures: takes what models raise.

    Returns:
        One column per model, one row per future date, in the series' unit; never negative where
        the series can't be, and then 0 on closed days. A model that finds too little to learn
        from, or fails, has no column, and no ensemble.

    Raises:
        ValueError: the history has no day to fit to.
    """
    if not history.used.any():
        raise ValueError("the history has no open day with a value")
    wanted = set(names)
    members = {member for name in wanted & set(ENSEMBLES) for member in ENSEMBLES[name]}
    failures = failures or Failures()
    forecasts = {}
    for name, model in BASE_MODELS.items():
        if name in wanted | members:
            with failures.leave_out(name):
                if (ahead := model(history, future)) is not None:
                    forecasts[name] = ahead
    for name, parts in ENSEMBLES.items():
        if name in wanted and forecasts.keys() >= set(parts):
            forecasts[name] = np.mean([forecasts[part] for part in parts], axis=0)
    table = pd.DataFrame(forecasts, index=future)[[n for n in ALL if n in wanted & set(forecasts)]]
    if history.non_negative:
        table = table.clip(lower=0)
    table[np.asarray(closed)] = history.closed_value
    return table
