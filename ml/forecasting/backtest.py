"""Rolling-origin backtest: what each model would have forecast on days of the past.

Each origin sees only its own past, closed days included. Origins lie on a fixed grid of days, so
that tomorrow's backtest has today's origins, and the champion changes for a reason.

Dear models are raced: after a few origins, spread over the whole time, those that are clearly
behind the best are dropped, and their measures say on how many origins they rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from ml import evaluation
from ml.forecasting import models
from ml.forecasting.history import History
from ml.forecasting.series import YEAR_DAYS, Series

HORIZON_DAYS = 90
MIN_OPEN_DAYS = 14  # fewer say nothing about a weekday
MATURE_DAYS = 365  # an origin with a year behind it, from which yearly patterns are known
MIN_MATURE_ORIGINS = 4  # with fewer of them, younger ones stand beside them
SPACING_DAYS = 15  # closer origins share nearly all of their days
MAX_ORIGINS = 24  # a year of them; a longer time is spaced wider
LAST_ORIGIN_BEFORE_END_DAYS = 30
YEARS = 3
GRID_START = pd.Timestamp("2000-01-01")

ForecastAll = Callable[[History, pd.DatetimeIndex, np.ndarray, Iterable[str]], pd.DataFrame]

# dear models are looked at after so many origins ...
HEATS = (3, 8)
# ... and are dropped where their WAPE is this many times the best one's: a lead of 5 % has hardly
# ever been lost on the origins that came after
CLEARLY_BEHIND = 1.05


def origins(dates: pd.DatetimeIndex) -> list[pd.Timestamp]:
    """Origins of the backtest, ascending, each with a year behind it where there are any such.

    A history too short for `MIN_MATURE_ORIGINS` of them starts at its middle.
    """
    n = len(dates)
    last = n - LAST_ORIGIN_BEFORE_END_DAYS
    first = max(MATURE_DAYS, n - YEARS * YEAR_DAYS)
    if last - first < (MIN_MATURE_ORIGINS - 1) * SPACING_DAYS:
        first = max(n // 2, 2 * 7)
    if last < first:
        return [dates[first - 1]] if 0 < first <= n else []
    spacing = SPACING_DAYS * -(-(last - first + 1) // (SPACING_DAYS * MAX_ORIGINS))
    candidates = dates[first - 1 : last]
    on_grid = (candidates - GRID_START).days % spacing == 0
    # a time shorter than the grid may have none on it
    return list(candidates[on_grid]) or [candidates[-1]]


def run(
    series: Series, at: list[pd.Timestamp], forecast_all: ForecastAll = models.forecast_all
) -> pd.DataFrame:
    """Forecasts from each origin, up to a year ahead, beside the actuals.

    Args:
        series: up to the as-of date.
        at: origins.
        forecast_all: the models; one that remembers what it computed is for benchmarks, where
            the backtests of many as-of dates overlap.

    Returns:
        One row per origin, target date and model: origin, target_date, days_ahead, model, actual,
        forecast, closed (as expected at the origin), level (of the series at the origin),
        is_mature. A model that was raced out has rows of few origins; one that found too little
        to learn from has none.
    """
    # in the race, origins with a year behind them come first: they tell more
    mature = [origin for origin in at if _days_until(series, origin) >= MATURE_DAYS]
    order = _spread_out(mature) + _spread_out([origin for origin in at if origin not in mature])
    names, parts = set(models.ALL), []
    for count, origin in enumerate(order, start=1):
        part = from_origin(series, origin, names, forecast_all)
        if part is not None:
            parts.append(part)
        if count in HEATS and len(order) > count and parts:
            names -= behind(pd.concat(parts, ignore_index=True), names)
    if not parts:
        return pd.DataFrame()
    return pd.concat(parts, ignore_index=True).sort_values(
        ["origin", "model", "target_date"], ignore_index=True
    )


def from_origin(
    series: Series, origin: pd.Timestamp, names: set[str], forecast_all: ForecastAll
) -> pd.DataFrame | None:
    """The rows of one origin, see `run`; None where too few days were open by then."""
    known = series.until(origin)
    history, rules = known.history(origin)
    if history.used.sum() < MIN_OPEN_DAYS:
        return None
    future = pd.date_range(origin + pd.Timedelta(days=1), periods=YEAR_DAYS)
    closed = rules.closed(future)
    after = series.values[np.asarray(series.dates > origin)][:YEAR_DAYS]
    # what is unknown of a day that came, such as its costs, is no error of a forecast
    came = np.flatnonzero(np.isfinite(after))
    wide = forecast_all(history, future, closed, names).iloc[came]
    repeats = len(wide.columns)
    return pd.DataFrame(
        {
            "origin": origin,
            "target_date": np.tile(future[came], repeats),
            "days_ahead": np.tile(came + 1, repeats),
            "model": pd.Categorical(np.repeat(wide.columns.to_numpy(), len(came)), models.ALL),
            "actual": np.tile(after[came], repeats),
            "forecast": wide.to_numpy().T.ravel(),
            "closed": np.tile(closed[came], repeats),
            "level": known.level,
            "is_mature": _days_until(series, origin) >= MATURE_DAYS,
        }
    )


def behind(backtest: pd.DataFrame, names: set[str]) -> set[str]:
    """Raced models that are clearly behind the best of all on the origins so far."""
    errors = wapes(finished(backtest))
    best = errors.min()
    return {
        name
        for name in models.RACED
        if name in names and not errors.get(name, np.inf) <= CLEARLY_BEHIND * best
    }


def wapes(backtest: pd.DataFrame) -> pd.Series:
    """WAPE within `HORIZON_DAYS` by model."""
    near = backtest[backtest["days_ahead"] <= HORIZON_DAYS]
    return near.groupby("model", observed=True)[["actual", "forecast"]].apply(
        lambda part: evaluation.wape(part["actual"].to_numpy(), part["forecast"].to_numpy())
    )


def finished(backtest: pd.DataFrame) -> pd.DataFrame:
    """The rows of models that ran on every origin: those that can be compared."""
    origins_seen = backtest.groupby("model", observed=True)["origin"].nunique()
    complete = origins_seen.index[origins_seen == backtest["origin"].nunique()]
    return backtest[backtest["model"].isin(complete)]


def _days_until(series: Series, origin: pd.Timestamp) -> int:
    return int((origin - series.dates[0]).days) + 1


def _spread_out(at: list[pd.Timestamp]) -> list[pd.Timestamp]:
    """The same, so ordered that the first few of each heat cover the whole time."""
    order: list[int] = []
    for count in (*HEATS, len(at)):
        wanted = np.linspace(0, len(at) - 1, min(count, len(at))).round().astype(int)
        order += [i for i in wanted.tolist() if i not in order]
    return [at[i] for i in order]
