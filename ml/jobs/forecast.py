"""Forecasts of the shop's daily sales, and of its next year."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import psycopg

from ml import forecasting, runs
from ml.forecasting import forecast as rules
from ml.forecasting import models
from ml.jobs import running

VERSION = "1.0"
MIN_COST_COVERAGE = 0.8  # metric M14: a margin below this share of known costs is no margin


@dataclass(frozen=True)
class ForecastSeries:
    """A column of `features.daily_sales` that is forecast."""

    column: str
    non_negative: bool = True
    needs_costs: bool = False


SERIES: Mapping[str, ForecastSeries] = {
    "revenue": ForecastSeries("total_sales_amount"),
    "product_sales": ForecastSeries("product_sales_amount"),
    "orders": ForecastSeries("orders"),
    "profit": ForecastSeries("net_profit_amount", non_negative=False, needs_costs=True),
}


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Forecast each series 90 days ahead, and its total of the next 365 days."""
    daily = runs.read(connection, "select * from features.daily_sales order by metric_date")
    as_of = running.last_date(daily, "metric_date")
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features=daily,
        as_of=as_of,
        parameters={
            "horizon_days": rules.HORIZON_DAYS,
            "confidences": rules.CONFIDENCES,
            "series": {name: series.column for name, series in SERIES.items()},
        },
        result_of=lambda: result(daily),
    )


def result(daily: pd.DataFrame) -> runs.Result:
    """The result of the forecast task on rows of `features.daily_sales`."""
    if daily.empty:
        return runs.Result(running.NO_DATA, note="no day of sales", baseline=models.BASELINE)
    forecasts, metrics, champions, notes = [], [], {}, []
    for name, series in SERIES.items():
        try:
            _require_costs(daily, series)
            model = forecasting.fit(
                forecasting.Series.from_frame(
                    pd.DataFrame(
                        {
                            "date": daily["metric_date"],
                            "value": daily[series.column].astype(float),
                            "activity": daily["orders"].astype(float),
                        }
                    ),
                    non_negative=series.non_negative,
                )
            )
        except forecasting.TooLittleDataError as missing:
            notes.append(f"{name}: not forecast, {missing}")
            continue
        champions[name] = model.champion
        if model.note:
            notes.append(f"{name}: {model.note}")
        forecasts.append(
            forecasting.predict(model).assign(series=name, dimension="total", member="all")
        )
        measured = forecasting.evaluate(model).assign(series=name)
        measured["is_champion"] = measured["model"] == model.champion
        metrics.append(measured)
    table = pd.concat(forecasts, ignore_index=True) if forecasts else pd.DataFrame()
    measured = pd.concat(metrics, ignore_index=True) if metrics else pd.DataFrame()
    if len(measured):
        measured["is_baseline"] = measured["model"] == models.BASELINE
    return runs.Result(
        status="ok" if champions else running.NO_DATA,
        note="; ".join(notes),
        champion=", ".join(f"{name}: {model}" for name, model in champions.items()) or None,
        baseline=models.BASELINE,
        trained_from=daily["metric_date"].min().date(),
        trained_to=daily["metric_date"].max().date(),
        tables={"forecasts": table} if len(table) else {},
        metrics=measured,
    )


def _require_costs(daily: pd.DataFrame, series: ForecastSeries) -> None:
    if not series.needs_costs:
        return
    demand = float(daily["demand_amount"].sum())
    covered = float(daily["costed_demand_amount"].sum()) / demand if demand else 0.0
    if covered < MIN_COST_COVERAGE:
        raise forecasting.TooLittleDataError(
            f"costs are known for {covered:.0%} of sales, {MIN_COST_COVERAGE:.0%} are needed"
        )


TASK = running.Task(
    name="forecast",
    label="forecast 90 days and a year",
    reads=("daily_sales",),
    writes=("forecasts",),
    run=run,
)
