"""Forecast of one daily series: backtest every model, let the best one forecast.

`fit` runs a rolling-origin backtest, `predict` forecasts days, months and a year, `evaluate`
measures the backtest. How a champion is found stands in `champion`, how sure it is in `intervals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from ml import evaluation
from ml.failures import Failures
from ml.forecasting import backtest as backtests
from ml.forecasting import champion as champions
from ml.forecasting import intervals, models
from ml.forecasting.backtest import HORIZON_DAYS, MATURE_DAYS, MIN_OPEN_DAYS
from ml.forecasting.intervals import CONFIDENCES
from ml.forecasting.series import YEAR_DAYS, Series, TooLittleDataError

MONTHS = 12
MIN_BACKTEST_DAYS = 60
# forecasts lie on this grid, less than a tenth of a penny: sums of its multiples have no rounding
# error in any order, so parts add up to their total to the last bit
GRID = 2.0**-10

# name of a slice of the horizon: first and last day ahead
HORIZONS = {"1-30": (1, 30), "31-90": (31, 90), "1-90": (1, 90)}

BOUNDS = ["lo80", "hi80", "lo95", "hi95"]
COLUMNS = ["model", "is_champion", "grain", "target_date", "horizon_days", "is_closed", "yhat"]


@dataclass(frozen=True)
class Ahead:
    """What models expect of each day to the end of the twelfth whole month, a year at least.

    Attributes:
        days: the days, shape (m,).
        closed: whether the shop is expected to be closed on them, shape (m,).
        forecasts: as `models.forecast_all` returns them.
    """

    days: pd.DatetimeIndex
    closed: np.ndarray
    forecasts: pd.DataFrame

    @classmethod
    def of(cls, series: Series, names: set[str], failures: Failures) -> Ahead:
        """Of these models and the baseline."""
        as_of = series.dates[-1]
        history, rules = series.history(as_of)
        last = max(_month_after(as_of, MONTHS), as_of + pd.Timedelta(days=YEAR_DAYS))
        days = pd.date_range(as_of + pd.Timedelta(days=1), last)
        closed = rules.closed(days)
        wanted = names | {models.BASELINE}
        return cls(days, closed, models.forecast_all(history, days, closed, wanted, failures))


@dataclass(frozen=True)
class Forecaster:
    """A fitted forecast.

    Attributes:
        series: the series up to the as-of date.
        backtest: as `backtest.run` returns it; empty if the history is short.
        champion: name of the model for the next 90 days.
        far_champion: name of the model for the days beyond.
        ahead: what both and the baseline expect.
        note: why a simpler way was taken, empty if none was.
    """

    series: Series
    backtest: pd.DataFrame
    champion: str
    far_champion: str
    ahead: Ahead
    note: str = ""

    @property
    def scale(self) -> intervals.Scale:
        """How errors of this series are carried."""
        return intervals.Scale(self.series.non_negative)

    @cached_property
    def path(self) -> pd.DataFrame:
        """What is expected of each day to the end of the twelfth whole month, a year at least.

        Columns target_date, days_ahead, closed, and of the champion (up to 90 days, beyond them of
        the far champion) yhat, of the baseline naive; all on `GRID`.
        """
        expected, days = self.ahead.forecasts, np.arange(1, len(self.ahead.days) + 1)
        near, far = expected[self.champion], expected[self.far_champion]
        return pd.DataFrame(
            {
                "target_date": self.ahead.days,
                "days_ahead": days,
                "closed": self.ahead.closed,
                "yhat": on_grid(np.where(days <= HORIZON_DAYS, near, far)),
                "naive": on_grid(expected[models.BASELINE].to_numpy()),
            }
        )

    def walked(self, model: str) -> tuple[pd.DataFrame, intervals.Intervals]:
        """Intervals of the model in its backtest, and those of today, see `intervals.walk`."""
        if model not in self._walked:
            rows = self.backtest
            if rows.empty:
                return rows, intervals.Intervals(self.scale, {}, {}, np.ones(7))
            near = rows["days_ahead"] <= HORIZON_DAYS
            rows = rows[(rows["model"] == model) & ~rows["closed"] & near]
            self._walked[model] = intervals.walk(rows, self.scale, self._usual_at)
        return self._walked[model]

    def _usual_at(self, origin: pd.Timestamp | None) -> pd.Series:
        """See `intervals.distances`; of today for None."""
        if origin not in self._usual:
            known = self.series if origin is None else self.series.until(origin)
            history, _ = known.history(known.dates[-1])
            self._usual[origin] = intervals.distances(history, known.level)
        return self._usual[origin]

    @cached_property
    def _usual(self) -> dict[pd.Timestamp | None, pd.Series]:
        return {}

    @cached_property
    def _walked(self) -> dict[str, tuple[pd.DataFrame, intervals.Intervals]]:
        return {}

    def rows(self, model: str) -> pd.DataFrame:
        """The backtest of one model; of the champion beyond 90 days that of the far champion."""
        if self.backtest.empty:
            return self.backtest
        if model == self.champion:
            return champions.splice(self.backtest, self.champion, self.far_champion)
        return self.backtest[self.backtest["model"] == model]


def fit(series: Series, forecast_all: backtests.ForecastAll = models.forecast_all) -> Forecaster:
    """Backtest all models and choose the champions.

    Args:
        series: up to the as-of date.
        forecast_all: see `backtest.run`.

    Raises:
        TooLittleDataError: fewer than `MIN_OPEN_DAYS` days with a value.
    """
    if not len(series.dates):
        raise TooLittleDataError("no day of history")
    as_of = series.dates[-1]
    series = series.until(as_of)
    days = len(series.dates)
    usable = int(series.history(as_of)[0].used.sum())
    if usable < MIN_OPEN_DAYS:
        raise TooLittleDataError(f"{usable} days with a value, {MIN_OPEN_DAYS} are needed")
    failures = Failures()
    if days < MIN_BACKTEST_DAYS:
        note = (
            f"{days} days of history, too few for a backtest ({MIN_BACKTEST_DAYS}): "
            "recent level by weekday, no interval"
        )
        name = "recent_level"
        ahead = Ahead.of(series, {name}, failures)
        return Forecaster(series, pd.DataFrame(), name, name, ahead, note)
    backtest = backtests.run(
        series, backtests.origins(series.dates), partial(forecast_all, failures=failures)
    )
    able = backtest
    while True:
        champion = champions.choose(able, is_mature=days >= MATURE_DAYS)
        far = champions.choose_far(able, champion, series.non_negative)
        ahead = Ahead.of(series, {champion, far}, failures)
        unable = {champion, far} - {*ahead.forecasts.columns}
        if not unable:
            break
        # it could forecast from all days but today
        able = able[~able["model"].isin(unable)]
    notes = failures.notes()
    if champion == models.BASELINE:
        notes.append("no model beat the baseline (seasonal naive) in the backtest")
    if days < MATURE_DAYS:
        notes.append(f"{days} days of history: no yearly season learned, no months and no year")
    return Forecaster(series, backtest, champion, far, ahead, "; ".join(notes))


def predict(forecaster: Forecaster, horizon_days: int = HORIZON_DAYS) -> pd.DataFrame:
    """Forecast of the champion and the baseline.

    Returns:
        One row per model and period: model, grain (`day`; with a year of history also `month`, the
        next twelve whole months, and `year`, the next 365 days), target_date (the first day of the
        period), horizon_days (its last day, counted from the as-of date), yhat, lo80, hi80, lo95,
        hi95 (NaN without a backtest), is_closed (expected), is_champion. Months and the year are
        sums of one path of days. Bounds enclose yhat; nothing is below 0 where the series can't be.
    """
    path, parts = forecaster.path, []
    for model in dict.fromkeys((forecaster.champion, models.BASELINE)):
        expected = path["yhat" if model == forecaster.champion else "naive"].to_numpy()
        days = path.head(horizon_days)
        near = expected[:horizon_days]
        table = pd.DataFrame(
            {
                "grain": "day",
                "target_date": days["target_date"],
                "horizon_days": days["days_ahead"],
                "is_closed": days["closed"],
                "yhat": near,
            }
        )
        _, known = forecaster.walked(model)
        for confidence in CONFIDENCES:
            name, level = f"{confidence * 100:.0f}", forecaster.series.level
            ahead = days["days_ahead"].to_numpy()
            lower, upper = known.bounds(
                pd.DatetimeIndex(days["target_date"]), ahead, near, level, confidence
            )
            if forecaster.series.non_negative:
                shut = days["closed"].to_numpy() & np.isfinite(lower)
                lower[shut], upper[shut] = 0.0, 0.0
            table[f"lo{name}"], table[f"hi{name}"] = lower, upper
        parts.append(table.assign(model=model, is_champion=model == forecaster.champion))
        if len(forecaster.series.dates) >= MATURE_DAYS:
            totals = periods(path["target_date"], expected)
            rows = forecaster.rows(model)
            totals = with_bounds(totals, rows, forecaster.series.non_negative)
            name = forecaster.champion
            if model == name != forecaster.far_champion:
                name = f"{name}, then {forecaster.far_champion}"
            parts.append(
                totals.assign(
                    model=name if model == forecaster.champion else model,
                    is_champion=model == forecaster.champion,
                    is_closed=False,
                )
            )
    return pd.concat(parts, ignore_index=True)[[*COLUMNS, *BOUNDS]]


def periods(dates: pd.Series, daily: np.ndarray) -> pd.DataFrame:
    """The next twelve whole months and the next 365 days, as sums of days.

    Args:
        dates: consecutive days from the first one after the as-of date on.
        daily: expected values, same length.

    Returns:
        Columns grain, target_date, horizon_days, yhat.
    """
    days = pd.DatetimeIndex(dates)
    as_of = days[0] - pd.Timedelta(days=1)
    rows = []
    for count in range(1, MONTHS + 1):
        last = _month_after(as_of, count)
        first = last.replace(day=1)
        inside = (days >= first) & (days <= last)
        rows.append(("month", first, (last - as_of).days, float(daily[inside].sum())))
    rows.append(("year", days[0], YEAR_DAYS, float(daily[:YEAR_DAYS].sum())))
    return pd.DataFrame(rows, columns=["grain", "target_date", "horizon_days", "yhat"])


def with_bounds(totals: pd.DataFrame, rows: pd.DataFrame, non_negative: bool) -> pd.DataFrame:
    """Periods with the bounds that a model's errors of totals give; NaN where too few were seen.

    Args:
        totals: as `periods` returns them.
        rows: the model's backtest.
        non_negative: whether errors are ratios.
    """
    year = champions.total_spread(rows, non_negative)
    near = champions.month_spread(rows, non_negative, far=False)
    far = champions.month_spread(rows, non_negative, far=True)
    bounds = []
    for row in totals.itertuples():
        if row.grain == "year":
            spread, days = year, YEAR_DAYS
        elif row.horizon_days <= HORIZON_DAYS or far is None:
            # beyond what was seen a month errs more, as a longer total would
            spread = near
            days = champions.MONTH_DAYS * max(1.0, row.horizon_days / HORIZON_DAYS)
        else:
            spread, days = far, champions.MONTH_DAYS
        bounds.append(
            [bound for level in CONFIDENCES for bound in spread.bounds(row.yhat, days, level)]
            if spread
            else [np.nan] * len(BOUNDS)
        )
    return totals.assign(**dict(zip(BOUNDS, np.transpose(bounds), strict=True)))


def evaluate(forecaster: Forecaster) -> pd.DataFrame:
    """Measures of the backtest.

    Returns:
        One row per model, slice of the horizon and metric: model, horizon, metric, value, n. MAE
        and RMSE are in the series' unit, all others are fractions but `origins`, on how many the
        model was measured, and `is_raced_out`, 1 for a model dropped before the last of them.
        `wape_to_baseline` is over the baseline's on the same origins, so that it compares with all
        models. Coverage and Winkler score are of the champion and the baseline, each origin with
        intervals from the errors known by then.
    """
    backtest = forecaster.backtest
    if backtest.empty:
        return pd.DataFrame(columns=["model", "horizon", "metric", "value", "n"])
    scale = evaluation.naive_scale(forecaster.series.values)
    every = backtest["origin"].nunique()
    rows = []
    for horizon, (first, last) in HORIZONS.items():
        within = backtest[backtest["days_ahead"].between(first, last)]
        naive = within[within["model"] == models.BASELINE]
        for model, part in within.groupby("model", observed=True):
            seen = part["origin"].unique()
            base = naive[naive["origin"].isin(seen)]
            found = measures(part, scale) | {
                "wape_to_baseline": _wape(part) / _wape(base) if _wape(base) > 0 else np.nan
            }
            if horizon == "1-90":
                is_out = model in models.RACED and len(seen) < every
                found |= {"origins": float(len(seen)), "is_raced_out": float(is_out)}
            rows += [(model, horizon, metric, value, len(part)) for metric, value in found.items()]
    for model in dict.fromkeys((forecaster.champion, models.BASELINE)):
        measured = forecaster.walked(model)[0]
        for horizon, (first, last) in HORIZONS.items() if len(measured) else ():
            part = measured[measured["days_ahead"].between(first, last) & measured["lo80"].notna()]
            rows += [
                (model, horizon, metric, value, len(part))
                for metric, value in interval_measures(part).items()
            ]
    return pd.DataFrame(rows, columns=["model", "horizon", "metric", "value", "n"])


def on_grid(values: np.ndarray) -> np.ndarray:
    """The nearest multiples of `GRID`."""
    return np.round(np.asarray(values, float) / GRID) * GRID


def measures(part: pd.DataFrame, naive_scale: float) -> dict[str, float]:
    """Measures of forecasts: columns origin, actual, forecast, closed; in the series' unit."""
    actual, forecast = part["actual"].to_numpy(), part["forecast"].to_numpy()
    open_days = ~part["closed"].to_numpy()
    return {
        "mae": evaluation.mae(actual, forecast),
        "rmse": evaluation.rmse(actual, forecast),
        "r2": evaluation.r2(actual, forecast),
        "r2_open_days": evaluation.r2(actual[open_days], forecast[open_days]),
        "mape": evaluation.mape(actual, forecast),
        "wape": evaluation.wape(actual, forecast),
        "mase": evaluation.mase(actual, forecast, naive_scale),
        "bias": evaluation.bias(actual, forecast),
        "total_ape": _total_error(part),
    }


def interval_measures(part: pd.DataFrame) -> dict[str, float]:
    """Coverage and Winkler scores of open days' intervals: columns actual, lo80, hi80, …

    Empty without a row; `relative_winkler` is over the mean absolute actual.
    """
    found: dict[str, float] = {}
    if part.empty:
        return found
    actual = part["actual"].to_numpy()
    usual = np.abs(actual).mean()
    for confidence in CONFIDENCES:
        name = f"{confidence * 100:.0f}"
        lower, upper = part[f"lo{name}"].to_numpy(), part[f"hi{name}"].to_numpy()
        score = evaluation.winkler(actual, lower, upper, confidence)
        found[f"coverage_{name}"] = evaluation.coverage(actual, lower, upper)
        found[f"winkler_{name}"] = score
        found[f"relative_winkler_{name}"] = score / usual if usual > 0 else np.nan
    return found


def _wape(part: pd.DataFrame) -> float:
    return evaluation.wape(part["actual"].to_numpy(), part["forecast"].to_numpy())


def _total_error(part: pd.DataFrame) -> float:
    """Mean over origins of the absolute relative error of the period's total."""
    totals = part.groupby("origin")[["actual", "forecast"]].sum()
    known = totals[totals["actual"] != 0]
    return float((known["forecast"] / known["actual"] - 1).abs().mean())


def _month_after(as_of: pd.Timestamp, count: int) -> pd.Timestamp:
    """The last day of the `count`-th whole month after the as-of date."""
    return as_of + pd.offsets.MonthEnd(count + (0 if as_of.is_month_end else 1))
