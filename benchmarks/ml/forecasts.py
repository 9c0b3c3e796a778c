"""Forecasts as the product would have made them: at each origin it chooses, calibrates, forecasts.

At each of 22 origins (18 for 90 days), 15 days apart, the whole of `ml.forecasting` runs on what
was known that day: closed days, the backtest that picks the champion, the intervals. So what is
measured is the product's own rule, with its own mistakes, and no model picked in hindsight.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from benchmarks.ml import report
from ml import evaluation, forecasting, runs
from ml.failures import Failures
from ml.forecasting import models
from ml.forecasting.history import History

FIRST_ORIGIN = pd.Timestamp("2010-12-25")
ORIGINS = {30: 22, 90: 18}  # as many as have their whole horizon in the data
COLUMNS = {"product_sales": "product_sales_amount", "orders": "orders"}
# best of the re-measured methods: three-model ensemble with closed days, conformal intervals
WAPE_TARGETS = {
    ("product_sales", 30): 0.266,
    ("product_sales", 90): 0.273,
    ("orders", 30): 0.172,
    ("orders", 90): 0.174,
}
COVERAGE_TOLERANCE = {80: 0.02, 95: 0.01}


def measure(connection: psycopg.Connection[Any]) -> report.Report:
    """WAPE and coverage of the product's choice, and a table of all models."""
    daily = runs.read(connection, "select * from features.daily_sales order by metric_date")
    return measured({name: _series(daily, column) for name, column in COLUMNS.items()})


def measured(shop: dict[str, forecasting.Series]) -> report.Report:
    """The report on series by name."""
    measures, details = [], []
    for name, series in shop.items():
        remember = Memory()
        chosen = pd.concat(
            [
                _forecast_from(series, origin, remember)
                for origin in _origins(max(ORIGINS.values()))
            ],
            ignore_index=True,
        )
        for horizon, count in ORIGINS.items():
            within = chosen["origin"].isin(_origins(count)) & (chosen["days_ahead"] <= horizon)
            rows = chosen[within]
            measures += _measures(name, horizon, rows)
            details.append(_table(name, horizon, rows))
    return report.Report(
        measures, {"Daily forecasts, all models (intervals of the chosen)": pd.concat(details)}
    )


class Memory:
    """`models.forecast_all` that computes no model twice on the same history."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], pd.DataFrame] = {}

    def __call__(
        self,
        history: History,
        future: pd.DatetimeIndex,
        closed: np.ndarray,
        names: Iterable[str] = models.ALL,
        failures: Failures | None = None,
    ) -> pd.DataFrame:
        """As `models.forecast_all`."""
        key = (history.dates[0], history.dates[-1], future[0], len(future))
        known = self._known.get(key)
        missing = [name for name in names if known is None or name not in known]
        if missing:
            fresh = models.forecast_all(history, future, closed, missing, failures)
            known = fresh if known is None else known.join(fresh)
            self._known[key] = known
        return known[[name for name in models.ALL if name in set(names) & set(known)]]


def _series(daily: pd.DataFrame, column: str) -> forecasting.Series:
    return forecasting.Series.from_frame(
        pd.DataFrame(
            {
                "date": daily["metric_date"],
                "value": daily[column].astype(float),
                "activity": daily["orders"].astype(float),
            }
        )
    )


def _origins(count: int) -> list[pd.Timestamp]:
    return list(pd.date_range(FIRST_ORIGIN, periods=count, freq="15D"))


def _forecast_from(
    series: forecasting.Series, origin: pd.Timestamp, remember: Memory
) -> pd.DataFrame:
    """Every model's forecast of 90 days from one origin, the chosen one's with intervals."""
    known = series.until(origin)
    forecaster = forecasting.fit(known, remember)
    history, rules = known.history(origin)
    future = pd.date_range(origin + pd.Timedelta(days=1), periods=365)
    wide = remember(history, future, rules.closed(future)).head(90)
    table = forecasting.predict(forecaster)
    days = table[(table["grain"] == "day") & table["is_champion"]].set_index("target_date")
    long = wide.melt(var_name="model", value_name="yhat", ignore_index=False)
    chosen = days[["yhat", "is_closed", "lo80", "hi80", "lo95", "hi95"]].assign(model="chosen")
    every = pd.concat([chosen, long]).rename_axis("target_date").reset_index()
    actual = pd.Series(series.values, index=series.dates)
    return every.assign(
        origin=origin,
        champion=forecaster.champion,
        days_ahead=(every["target_date"] - origin).dt.days,
        actual=every["target_date"].map(actual),
        is_closed=every["target_date"].map(days["is_closed"]),
    ).dropna(subset="actual")


def _measures(name: str, horizon: int, rows: pd.DataFrame) -> list[report.Measure]:
    chosen, naive = (rows[rows["model"] == m] for m in ("chosen", models.BASELINE))
    found = [
        report.Measure(
            f"{name}, {horizon} days: WAPE",
            _wape(chosen),
            _wape(naive),
            WAPE_TARGETS[name, horizon],
            "lower",
            0.0005,  # the targets have three decimals
        )
    ]
    for level, tolerance in COVERAGE_TOLERANCE.items():
        found.append(
            report.Measure(
                f"{name}, {horizon} days: coverage of {level} %",
                _coverage(chosen, level),
                np.nan,
                level / 100,
                "within",
                tolerance,
            )
        )
    return found


def _table(name: str, horizon: int, rows: pd.DataFrame) -> pd.DataFrame:
    """One row per model."""
    table = []
    for model in ("chosen", *models.ALL):
        part = rows[rows["model"] == model]
        if part["origin"].nunique() < rows["origin"].nunique():
            continue
        actual, yhat = part["actual"].to_numpy(), part["yhat"].to_numpy()
        is_open = ~part["is_closed"].to_numpy(bool)
        totals = part.groupby("origin")[["actual", "yhat"]].sum()
        label = model
        if model == "chosen":
            champions = part.groupby("champion")["origin"].nunique().sort_values(ascending=False)
            label = "chosen: " + ", ".join(f"{name} {count}x" for name, count in champions.items())
        table.append(
            {
                "series": name,
                "days": horizon,
                "model": label,
                "WAPE": evaluation.wape(actual, yhat),
                "MAE": evaluation.mae(actual, yhat),
                "RMSE": evaluation.rmse(actual, yhat),
                "R2": evaluation.r2(actual, yhat),
                "R2 open": evaluation.r2(actual[is_open], yhat[is_open]),
                "total APE": float((totals["yhat"] / totals["actual"] - 1).abs().mean()),
                "bias": evaluation.bias(actual, yhat),
                **{f"cover {level}": _coverage(part, level) for level in COVERAGE_TOLERANCE},
                **{f"Winkler {level}": _winkler(part, level) for level in COVERAGE_TOLERANCE},
            }
        )
    return pd.DataFrame(table)


def _wape(part: pd.DataFrame) -> float:
    return evaluation.wape(part["actual"].to_numpy(), part["yhat"].to_numpy())


def _open(part: pd.DataFrame) -> pd.DataFrame:
    return part[part["lo80"].notna() & ~part["is_closed"].astype(bool)]


def _coverage(part: pd.DataFrame, level: int) -> float:
    """On open days: a closed one has an interval of 0 and is no achievement."""
    part = _open(part)
    return evaluation.coverage(
        part["actual"].to_numpy(), part[f"lo{level}"].to_numpy(), part[f"hi{level}"].to_numpy()
    )


def _winkler(part: pd.DataFrame, level: int) -> float:
    """Over the mean of open days."""
    part = _open(part)
    if part.empty:
        return float("nan")
    actual = part["actual"].to_numpy()
    score = evaluation.winkler(
        actual, part[f"lo{level}"].to_numpy(), part[f"hi{level}"].to_numpy(), level / 100
    )
    return score / float(np.abs(actual).mean())
