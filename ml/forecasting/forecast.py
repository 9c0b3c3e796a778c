"""Forecast of one daily series: backtest every model, let the best one forecast.

`fit` runs a rolling-origin backtest (each origin sees only its own past, closed days included),
`predict` forecasts with the champion and the baseline, `evaluate` measures the backtest.

The champion is the model with the least WAPE over the first 90 days after each origin; among
models within `WAPE_TIE` of it the one with the least RMSE, since averaging buys stability. A model
that doesn't beat the baseline is never champion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ml import evaluation
from ml.forecasting import calendar, models
from ml.forecasting.intervals import MIN_ERRORS, MIN_TOTALS, TOTAL_WINDOWS, Errors, TotalSpread

HORIZON_DAYS = 90
YEAR_DAYS = 365
CONFIDENCES = (0.80, 0.95)
WAPE_TIE = 0.004  # differences below this are noise on two years of daily data

MIN_OPEN_DAYS = 14  # fewer say nothing about a weekday
MIN_BACKTEST_DAYS = 60
ORIGINS = 12
MIN_ORIGIN_SPACING_DAYS = 15
LAST_ORIGIN_BEFORE_END_DAYS = 30
BACKTEST_YEARS = 3
TRAIN_YEARS = 5  # older days cost time and no longer describe the shop
FULL_YEAR_TRAIN_DAYS = 365

# name of a slice of the horizon: first and last day ahead
HORIZONS = {"1-30": (1, 30), "31-90": (31, 90), "1-90": (1, 90)}


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

    def history(self) -> tuple[models.History, calendar.ClosedDays]:
        """The series with its closed days, and the rules that found them."""
        rules = calendar.learn(self.dates, self.activity)
        # an open-by-rule day may still be shut, so what happened wins over the rule
        closed = rules.closed(self.dates) & (self.activity == 0)
        return models.History(self.dates, self.values, closed, self.non_negative), rules


@dataclass(frozen=True)
class Forecaster:
    """A fitted forecast.

    Attributes:
        series: the series up to the as-of date.
        backtest: one row per origin, target date and model: origin, target_date, days_ahead,
            model, actual, forecast, closed (as expected at the origin), level; empty if short.
        champion: name of the model that forecasts.
        note: why a simpler way was taken, empty if none was.
    """

    series: Series
    backtest: pd.DataFrame
    champion: str
    note: str = ""


def fit(series: Series) -> Forecaster:
    """Backtest all models and choose the champion.

    Raises:
        TooLittleDataError: fewer than `MIN_OPEN_DAYS` days with a value.
    """
    series = series.until(series.dates[-1]) if len(series.dates) else series
    days = len(series.dates)
    if days == 0:
        raise TooLittleDataError("no day of history")
    history, _ = series.history()
    usable = int(history.used.sum())
    if usable < MIN_OPEN_DAYS:
        raise TooLittleDataError(f"{usable} days with a value, {MIN_OPEN_DAYS} are needed")
    if days < MIN_BACKTEST_DAYS:
        return Forecaster(
            series,
            backtest=pd.DataFrame(),
            champion="recent_level",
            note=f"{days} days of history, too few for a backtest ({MIN_BACKTEST_DAYS}): "
            "recent level by weekday, no interval",
        )
    backtest = run_backtest(series, origins(series.dates))
    champion = choose_champion(backtest)
    notes = []
    if champion == models.BASELINE:
        notes.append("no model beat the baseline (seasonal naive) in the backtest")
    if days < FULL_YEAR_TRAIN_DAYS:
        notes.append(f"{days} days of history: no yearly season learned, no year forecast")
    return Forecaster(series, backtest, champion, "; ".join(notes))


def predict(forecaster: Forecaster, horizon_days: int = HORIZON_DAYS) -> pd.DataFrame:
    """Forecast of the champion and the baseline.

    Returns:
        One row per model and period: model, grain (`day`, or `year` for the total of the next 365
        days, if there is a year of history, with a champion of its own), target_date (the first
        day of the period), horizon_days (its last day, counted from the as-of date), yhat, lo80,
        hi80, lo95, hi95 (NaN without a backtest), is_closed (expected), is_champion. Bounds
        enclose yhat; nothing is below 0 where the series can't be.
    """
    series = forecaster.series
    history, rules = series.history()
    future = pd.date_range(series.dates[-1] + pd.Timedelta(days=1), periods=YEAR_DAYS)
    closed = rules.closed(future)
    forecasts = models.forecast_all(history, future, closed)
    level = _level(series)
    parts = []
    for model in dict.fromkeys((forecaster.champion, models.BASELINE)):
        errors = _daily_errors(forecaster.backtest, model, series.non_negative)
        daily = forecasts[model].to_numpy()[:horizon_days]
        days = pd.DataFrame(
            {
                "grain": "day",
                "target_date": future[:horizon_days],
                "horizon_days": np.arange(1, len(daily) + 1),
                "yhat": daily,
                "is_closed": closed[:horizon_days],
            }
        )
        for confidence in CONFIDENCES:
            lower, upper = errors.bounds(daily, level, confidence)
            if series.non_negative:
                shut = closed[:horizon_days] & np.isfinite(lower)
                lower[shut], upper[shut] = 0.0, 0.0
            days[f"lo{confidence * 100:.0f}"], days[f"hi{confidence * 100:.0f}"] = lower, upper
        parts.append(days.assign(model=model, is_champion=model == forecaster.champion))
    if len(series.dates) >= FULL_YEAR_TRAIN_DAYS:
        best = choose_year_champion(forecaster)
        for model in dict.fromkeys((best, models.BASELINE)):
            year = _year(forecaster, model, forecasts[model].to_numpy(), future[0])
            parts.append(year.assign(is_champion=model == best))
    table = pd.concat(parts, ignore_index=True)
    columns = ["model", "is_champion", "grain", "target_date", "horizon_days", "is_closed", "yhat"]
    return table[[*columns, "lo80", "hi80", "lo95", "hi95"]]


def evaluate(forecaster: Forecaster) -> pd.DataFrame:
    """Measures of the backtest.

    Returns:
        One row per model, slice of the horizon and metric: model, horizon, metric, value, n. MAE
        and RMSE are in the series' unit, all others are fractions. Coverage and Winkler score are
        of the champion and the baseline, each origin with intervals from the errors known by then.
    """
    backtest = forecaster.backtest
    if backtest.empty:
        return pd.DataFrame(columns=["model", "horizon", "metric", "value", "n"])
    naive_scale = evaluation.naive_scale(forecaster.series.values)
    rows = []
    for horizon, (first, last) in HORIZONS.items():
        within = backtest[backtest["days_ahead"].between(first, last)]
        for model, part in within.groupby("model", sort=True):
            actual, forecast = part["actual"].to_numpy(), part["forecast"].to_numpy()
            open_days = ~part["closed"].to_numpy()
            measures = {
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
            rows += [
                (model, horizon, metric, value, len(part)) for metric, value in measures.items()
            ]
    for model in dict.fromkeys((forecaster.champion, models.BASELINE)):
        rows += _interval_measures(backtest, model, forecaster.series.non_negative)
    return pd.DataFrame(rows, columns=["model", "horizon", "metric", "value", "n"])


def origins(dates: pd.DatetimeIndex, count: int = ORIGINS) -> list[pd.Timestamp]:
    """Origins of the backtest, evenly spaced over the last years, the first with a year behind it.

    A history under two years starts earlier, at its middle.
    """
    n = len(dates)
    first = min(FULL_YEAR_TRAIN_DAYS, max(n // 2, 2 * 7))
    first = max(first, n - BACKTEST_YEARS * YEAR_DAYS)
    last = max(n - LAST_ORIGIN_BEFORE_END_DAYS, first)
    count = max(1, min(count, (last - first) // MIN_ORIGIN_SPACING_DAYS + 1))
    return [dates[i - 1] for i in np.linspace(first, last, count).astype(int)]


def run_backtest(series: Series, at: list[pd.Timestamp]) -> pd.DataFrame:
    """Forecasts of all models from each origin, up to a year ahead, beside the actuals.

    Returns:
        The rows that `Forecaster.backtest` documents.
    """
    parts = []
    for origin in at:
        known = series.until(origin)
        history, rules = known.history()
        if history.used.sum() < MIN_OPEN_DAYS:
            continue
        after = np.flatnonzero(np.asarray(series.dates > origin))[:YEAR_DAYS]
        target = series.dates[after]
        closed = rules.closed(target)
        wide = models.forecast_all(history, target, closed)
        long = wide.melt(var_name="model", value_name="forecast", ignore_index=False)
        repeats = len(wide.columns)
        parts.append(
            pd.DataFrame(
                {
                    "origin": origin,
                    "target_date": long.index,
                    "days_ahead": np.tile(np.arange(1, len(target) + 1), repeats),
                    "model": long["model"].to_numpy(),
                    "actual": np.tile(np.nan_to_num(series.values[after]), repeats),
                    "forecast": long["forecast"].to_numpy(),
                    "closed": np.tile(closed, repeats),
                    "level": _level(known),
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def choose_champion(backtest: pd.DataFrame) -> str:
    """Name of the model that forecasts best within 90 days; the baseline if none beats it."""
    if backtest.empty:
        return models.BASELINE
    near = backtest[backtest["days_ahead"] <= HORIZON_DAYS]
    scores = near.groupby("model", sort=True).apply(
        lambda part: pd.Series(
            {
                "wape": evaluation.wape(part["actual"].to_numpy(), part["forecast"].to_numpy()),
                "rmse": evaluation.rmse(part["actual"].to_numpy(), part["forecast"].to_numpy()),
            }
        )
    )
    # simplest first: of two that are equal, it wins
    simplest_first = [*models.BASE_MODELS, *models.ENSEMBLES]
    scores = scores.reindex([name for name in simplest_first if name in scores.index])
    better = scores[scores["wape"] < scores["wape"].get(models.BASELINE, np.inf)]
    if better.empty:
        return models.BASELINE
    tied = better[better["wape"] <= better["wape"].min() + WAPE_TIE]
    return str(tied["rmse"].idxmin())


def choose_year_champion(forecaster: Forecaster) -> str:
    """The model whose totals over the longest window were least off.

    What is best for 90 days, such as the level of the last four weeks, can be poor for a year.
    """
    spreads = {
        model: total_spread(forecaster.backtest, model, forecaster.series.non_negative)
        for model in (forecaster.champion, *models.BASE_MODELS, *models.ENSEMBLES)
    }
    known = {model: spread for model, spread in spreads.items() if spread}
    if not known:
        return forecaster.champion
    longest = max(spread.window for spread in known.values())
    comparable = {m: spread.scale for m, spread in known.items() if spread.window == longest}
    return min(comparable, key=comparable.__getitem__)


def conformal_backtest(backtest: pd.DataFrame, model: str, non_negative: bool) -> pd.DataFrame:
    """Intervals for a model's backtest, each origin from the errors known on its day.

    Returns:
        The open days within 90 days of origins with enough known errors: origin, days_ahead,
        actual, forecast, lo80, hi80, lo95, hi95.
    """
    rows = _open_days(backtest, model)
    parts = []
    for origin, part in rows.groupby("origin", sort=True):
        known = rows[rows["target_date"] <= origin]
        errors = _daily_errors(known, model, non_negative)
        if len(errors.values) < MIN_ERRORS:
            continue
        part = part[["origin", "days_ahead", "actual", "forecast", "level"]].copy()
        for confidence in CONFIDENCES:
            lower, upper = errors.bounds(
                part["forecast"].to_numpy(), float(part["level"].iloc[0]), confidence
            )
            part[f"lo{confidence * 100:.0f}"], part[f"hi{confidence * 100:.0f}"] = lower, upper
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _open_days(backtest: pd.DataFrame, model: str) -> pd.DataFrame:
    if backtest.empty:
        return backtest
    return backtest[
        (backtest["model"] == model)
        & ~backtest["closed"]
        & (backtest["days_ahead"] <= HORIZON_DAYS)
    ]


def _daily_errors(backtest: pd.DataFrame, model: str, non_negative: bool) -> Errors:
    rows = _open_days(backtest, model)
    if rows.empty:
        return Errors(np.array([]), non_negative)
    return Errors.of(
        rows["actual"].to_numpy(),
        rows["forecast"].to_numpy(),
        rows["level"].to_numpy(),
        non_negative,
    )


def _interval_measures(backtest: pd.DataFrame, model: str, non_negative: bool) -> Iterator[tuple]:
    measured = conformal_backtest(backtest, model, non_negative)
    if measured.empty:
        return
    actual = measured["actual"].to_numpy()
    for confidence in CONFIDENCES:
        name = f"{confidence * 100:.0f}"
        lower, upper = measured[f"lo{name}"].to_numpy(), measured[f"hi{name}"].to_numpy()
        within = evaluation.coverage(actual, lower, upper)
        score = evaluation.winkler(actual, lower, upper, confidence) / np.abs(actual).mean()
        yield model, "1-90", f"coverage_{name}", within, len(actual)
        yield model, "1-90", f"relative_winkler_{name}", score, len(actual)


def _total_error(part: pd.DataFrame) -> float:
    """Mean over origins of the absolute relative error of the period's total."""
    totals = part.groupby("origin")[["actual", "forecast"]].sum()
    known = totals[totals["actual"] != 0]
    return float((known["forecast"] / known["actual"] - 1).abs().mean())


def _level(series: Series) -> float:
    """Mean absolute value of the last year."""
    return float(np.nanmean(np.abs(series.values[-YEAR_DAYS:])))


def _year(
    forecaster: Forecaster, model: str, daily: np.ndarray, first_day: pd.Timestamp
) -> pd.DataFrame:
    total = float(daily.sum())
    row = {
        "grain": "year",
        "target_date": first_day,
        "horizon_days": YEAR_DAYS,
        "yhat": total,
        "is_closed": False,
        "model": model,
    }
    spread = total_spread(forecaster.backtest, model, forecaster.series.non_negative)
    for confidence in CONFIDENCES:
        lower, upper = spread.bounds(total, YEAR_DAYS, confidence) if spread else (np.nan, np.nan)
        name = f"{confidence * 100:.0f}"
        row[f"lo{name}"], row[f"hi{name}"] = lower, upper
    return pd.DataFrame([row])


def total_spread(backtest: pd.DataFrame, model: str, non_negative: bool) -> TotalSpread | None:
    """How far the model's totals were off, over the longest window with enough origins."""
    if backtest.empty:
        return None
    rows = backtest[backtest["model"] == model]
    for window in TOTAL_WINDOWS:
        sums = rows[rows["days_ahead"] <= window].groupby("origin").agg(
            actual=("actual", "sum"), forecast=("forecast", "sum"), days=("days_ahead", "max")
        )  # fmt: skip
        sums = sums[sums["days"] == window]
        if non_negative:
            sums = sums[(sums["actual"] > 0) & (sums["forecast"] > 0)]
            off = np.log(sums["actual"] / sums["forecast"])
        else:
            sums = sums[sums["forecast"] != 0]
            off = (sums["actual"] - sums["forecast"]) / sums["forecast"].abs()
        if len(off) >= MIN_TOTALS:
            scale = float(np.sqrt((off**2).mean()))
            return TotalSpread(scale, len(off), window, non_negative)
    return None
