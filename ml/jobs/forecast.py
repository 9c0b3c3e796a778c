"""Forecasts of the shop's daily sales, in total and by their parts, and of its next year."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import forecasting, runs
from ml.business import MIN_COST_COVERAGE
from ml.forecasting import forecast as rules
from ml.forecasting import models, parts
from ml.jobs import running

VERSION = "2.1"
DIMENSIONS = ("category", "country", "segment")
# members are the same in every series, chosen by this one, so that they can be set side by side
SIZE_COLUMN = "total_sales_amount"


@dataclass(frozen=True)
class ForecastSeries:
    """A column of `features.daily_sales` (and of its members) that is forecast."""

    column: str
    non_negative: bool = True
    needs_costs: bool = False


SERIES: Mapping[str, ForecastSeries] = {
    "revenue": ForecastSeries("total_sales_amount"),
    "product_sales": ForecastSeries("product_sales_amount"),
    "orders": ForecastSeries("orders"),
    "profit": ForecastSeries("net_profit_amount", non_negative=False, needs_costs=True),
}


@dataclass
class _Found:
    """What the series gave so far."""

    forecasts: list[pd.DataFrame] = field(default_factory=list)
    metrics: list[pd.DataFrame] = field(default_factory=list)
    champions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Forecast each series by day, month and year, in total and by its parts."""
    daily = runs.read(connection, "select * from features.daily_sales order by metric_date")
    members = runs.read(connection, "select * from features.daily_sales_members")
    as_of = running.last_date(daily, "metric_date")
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features={"daily_sales": daily, "daily_sales_members": members},
        as_of=as_of,
        parameters={
            "horizon_days": rules.HORIZON_DAYS,
            "months": rules.MONTHS,
            "confidences": rules.CONFIDENCES,
            "series": {name: series.column for name, series in SERIES.items()},
            "dimensions": DIMENSIONS,
        },
        result_of=partial(result, daily, members),
    )


def result(daily: pd.DataFrame, members: pd.DataFrame | None = None) -> runs.Result:
    """The result of the forecast task.

    Args:
        daily: rows of `features.daily_sales`.
        members: rows of `features.daily_sales_members`; None leaves the parts out.
    """
    if daily.empty:
        return runs.Result(running.NO_DATA, note="no day of sales", baseline=models.BASELINE)
    found = _Found()
    cuts = _dimensions(daily, members, found)
    for name, series in SERIES.items():
        try:
            _require_costs(daily, series)
            model = forecasting.fit(_series(daily, series))
        except forecasting.TooLittleDataError as missing:
            found.notes.append(f"{name}: not forecast, {missing}")
            continue
        _add_total(found, name, model)
        for dimension, chosen in cuts.items():
            _add_parts(found, name, series, dimension, chosen, daily, members, model)
    table = pd.concat(found.forecasts, ignore_index=True) if found.forecasts else pd.DataFrame()
    return runs.Result(
        status="ok" if found.champions else running.NO_DATA,
        note="; ".join(found.notes),
        champion=", ".join(f"{name}: {model}" for name, model in found.champions.items()) or None,
        baseline=models.BASELINE,
        trained_from=daily["metric_date"].min().date(),
        trained_to=daily["metric_date"].max().date(),
        tables={"forecasts": table} if len(table) else {},
        metrics=pd.concat(found.metrics, ignore_index=True) if found.metrics else pd.DataFrame(),
    )


def _series(daily: pd.DataFrame, series: ForecastSeries) -> forecasting.Series:
    return forecasting.Series.from_frame(
        pd.DataFrame(
            {
                "date": daily["metric_date"],
                "value": daily[series.column].astype(float),
                "activity": daily["orders"].astype(float),
            }
        ),
        non_negative=series.non_negative,
    )


def _dimensions(
    daily: pd.DataFrame, members: pd.DataFrame | None, found: _Found
) -> dict[str, tuple[str, ...]]:
    """The members of each dimension that can be told apart."""
    if members is None:
        return {}
    year = members[members["metric_date"] > daily["metric_date"].max() - pd.Timedelta(days=365)]
    cuts = {}
    for dimension in DIMENSIONS:
        rows = year[year["dimension"] == dimension]
        chosen = parts.choose_members(rows.groupby("member")[SIZE_COLUMN].sum())
        if chosen:
            cuts[dimension] = chosen
        else:
            found.notes.append(f"by {dimension}: not forecast, fewer than 2 with sales in a year")
    return cuts


def _add_total(found: _Found, name: str, model: forecasting.Forecaster) -> None:
    found.champions[name] = model.champion
    if model.note:
        found.notes.append(f"{name}: {model.note}")
    found.forecasts.append(
        forecasting.predict(model).assign(series=name, dimension="total", member="all")
    )
    measured = forecasting.evaluate(model)
    if len(measured):
        found.metrics.append(
            measured.assign(
                series=name,
                is_champion=measured["model"] == model.champion,
                is_baseline=measured["model"] == models.BASELINE,
            )
        )


def _add_parts(
    found: _Found,
    name: str,
    series: ForecastSeries,
    dimension: str,
    chosen: tuple[str, ...],
    daily: pd.DataFrame,
    members: pd.DataFrame,
    model: forecasting.Forecaster,
) -> None:
    rows = members[members["dimension"] == dimension]
    total = pd.Series(model.series.values, index=model.series.dates)
    cut = parts.cut(
        rows.assign(value=rows[series.column].astype(float)), total, chosen, series.non_negative
    )
    splitter = parts.fit(cut, model)
    found.forecasts.append(parts.predict(splitter).assign(series=name, dimension=dimension))
    measured = parts.evaluate(splitter)
    if len(measured):
        found.metrics.append(
            measured.assign(
                series=name + " by " + dimension + ": " + measured["member"],
                is_baseline=measured["model"] == parts.BASELINE,
            ).drop(columns="member")
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
    reads=("daily_sales", "daily_sales_members"),
    writes=("forecasts", "forecast_archive"),
    run=run,
)
