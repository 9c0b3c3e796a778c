"""The I/O around the models: read features, compute, write the run. One function per task.

Orchestration calls these; all else in this package is pure. Each takes an open connection and
commits. A run that was computed before on the same data with the same code is confirmed, not
repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from ml import churn, forecasting, runs, schema, segmentation
from ml.churn import churn as churn_rules
from ml.churn import models as churn_models
from ml.forecasting import forecast as forecast_rules
from ml.forecasting import models as forecast_models
from ml.segmentation import clusters as cluster_rules

log = logging.getLogger(__name__)

# raised when a method changes on purpose; the run's id also covers the code itself
VERSIONS = {"forecast": "1.0", "segments": "1.0", "churn": "1.0"}

MIN_COST_COVERAGE = 0.8  # metric M14: a margin below this share of known costs is no margin
NO_DATA = "too_little_data"


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


@dataclass(frozen=True)
class Outcome:
    """What a task did, for the orchestration's metadata.

    Attributes:
        run_id: the run whose rows are now current.
        status: `ok` or `too_little_data`.
        champion: the model that scores, per series for forecasts.
        rows: rows of scores.
        reused: True where the run was known and nothing was computed.
        metrics: the champion's main measures by name.
    """

    run_id: str
    status: str
    note: str
    champion: str | None
    rows: int
    reused: bool
    metrics: Mapping[str, float]

    def metadata(self) -> dict[str, Any]:
        """Plain values by name."""
        return {**asdict(self), "metrics": dict(self.metrics)}


def run_forecast(connection: psycopg.Connection[Any]) -> Outcome:
    """Forecast each series 90 days ahead, and its total of the next 365 days."""
    daily = runs.read(connection, "select * from features.daily_sales order by metric_date")
    as_of = _last_date(daily, "metric_date")
    return _run(
        connection,
        task="forecast",
        features=daily,
        as_of=as_of,
        parameters={
            "horizon_days": forecast_rules.HORIZON_DAYS,
            "confidences": forecast_rules.CONFIDENCES,
            "series": {name: series.column for name, series in SERIES.items()},
        },
        compute=lambda: forecast_result(daily),
    )


def run_segments(connection: psycopg.Connection[Any]) -> Outcome:
    """Cluster the customers of the last complete day."""
    customers = runs.read(
        connection,
        "select customer_key, as_of_date, recency_days, order_days, monetary_amount"
        " from features.customer_rfm where is_latest order by customer_key",
    )
    return _run(
        connection,
        task="segments",
        features=customers,
        as_of=_last_date(customers, "as_of_date"),
        parameters={
            "columns": cluster_rules.COLUMNS,
            "min_stability": cluster_rules.MIN_STABILITY,
            "seed": cluster_rules.SEED,
        },
        compute=lambda: segments_result(customers),
    )


def run_churn(connection: psycopg.Connection[Any]) -> Outcome:
    """Score the churn of each customer of the last complete day."""
    features = runs.read(
        connection, "select * from features.customer_churn order by as_of_date, customer_key"
    )
    return _run(
        connection,
        task="churn",
        features=features,
        as_of=_last_date(features, "as_of_date"),
        parameters={
            "horizon_days": churn_rules.HORIZON_DAYS,
            "features": churn_models.NUMBERS,
            "seed": churn_models.SEED,
        },
        compute=lambda: churn_result(features),
    )


def forecast_result(daily: pd.DataFrame) -> runs.Result:
    """The result of the forecast task on rows of `features.daily_sales`."""
    if daily.empty:
        return runs.Result(NO_DATA, note="no day of sales", baseline=forecast_models.BASELINE)
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
        measured["is_baseline"] = measured["model"] == forecast_models.BASELINE
    return runs.Result(
        status="ok" if champions else NO_DATA,
        note="; ".join(notes),
        champion=", ".join(f"{name}: {model}" for name, model in champions.items()) or None,
        baseline=forecast_models.BASELINE,
        trained_from=daily["metric_date"].min().date(),
        trained_to=daily["metric_date"].max().date(),
        tables={"forecasts": table} if len(table) else {},
        metrics=measured,
    )


def segments_result(customers: pd.DataFrame) -> runs.Result:
    """The result of the segments task on the latest rows of `features.customer_rfm`."""
    try:
        model = segmentation.fit(customers)
    except segmentation.TooLittleDataError as missing:
        return runs.Result(NO_DATA, note=str(missing))
    as_of = customers["as_of_date"].max().date()
    chosen = len(model.names)
    measured = segmentation.evaluate(model)
    metrics = pd.DataFrame(
        {
            "series": "customers",
            "model": "kmeans",
            "horizon": "k=" + measured["k"].astype(str),
            "metric": measured["metric"],
            "value": measured["value"],
            "n": min(len(customers), cluster_rules.SAMPLE),
            "is_champion": measured["k"] == chosen,
            "is_baseline": False,
        }
    )
    return runs.Result(
        status="ok",
        note=model.note,
        champion=f"kmeans k={chosen}",
        trained_from=as_of,
        trained_to=as_of,
        tables={"customer_segments": segmentation.predict(model, customers)},
        metrics=metrics,
    )


def churn_result(features: pd.DataFrame) -> runs.Result:
    """The result of the churn task on rows of `features.customer_churn`."""
    try:
        model = churn.fit(features)
    except churn.TooLittleDataError as missing:
        return runs.Result(NO_DATA, note=str(missing), baseline=churn_models.BASELINE)
    metrics = churn.evaluate(model).assign(
        series=churn_rules.SERIES, horizon=f"{model.task.horizon_days}"
    )
    metrics["is_champion"] = metrics["model"] == model.champion
    metrics["is_baseline"] = metrics["model"] == churn_models.BASELINE
    trained_on = model.task.latest["as_of_date"].max()
    return runs.Result(
        status="ok",
        note=model.note,
        champion=model.champion,
        baseline=churn_models.BASELINE,
        trained_from=trained_on.date(),
        trained_to=(trained_on + pd.Timedelta(days=model.task.horizon_days)).date(),
        tables={"churn_scores": churn.predict(model)},
        metrics=metrics,
    )


TASKS: Mapping[str, Callable[[psycopg.Connection[Any]], Outcome]] = {
    "forecast": run_forecast,
    "segments": run_segments,
    "churn": run_churn,
}


def _run(
    connection: psycopg.Connection[Any],
    *,
    task: str,
    features: pd.DataFrame,
    as_of: pd.Timestamp | None,
    parameters: Mapping[str, Any],
    compute: Callable[[], runs.Result],
) -> Outcome:
    schema.ensure(connection)
    run = runs.Run(
        task=task,
        model_version=VERSIONS[task],
        as_of_date=as_of.date() if as_of is not None else None,
        parameters=parameters,
        data_fingerprint=runs.fingerprint(features),
    )
    # reading began a transaction; computing must not hold it open
    connection.commit()
    known = runs.confirm(connection, run)
    if known is None:
        result = compute()
        runs.write(connection, run, result)
        known = {
            "status": result.status,
            "note": result.note,
            "champion": result.champion,
            "row_count": result.row_count,
        }
        reused = False
    else:
        reused = True
    if known["status"] != "ok":
        log.warning("%s: too little data: %s", task, known["note"])
    elif known["note"]:
        log.info("%s: %s", task, known["note"])
    return Outcome(
        run_id=run.run_id,
        status=known["status"],
        note=known["note"],
        champion=known["champion"],
        rows=known["row_count"],
        reused=reused,
        metrics=_headline_metrics(connection, run.run_id),
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


def _last_date(frame: pd.DataFrame, column: str) -> pd.Timestamp | None:
    return frame[column].max() if len(frame) else None


def _headline_metrics(connection: psycopg.Connection[Any], run_id: str) -> dict[str, float]:
    """Measures of the champion; forecasts only over all 90 days."""
    rows = connection.execute(
        "select series || '.' || metric, value from ml.model_metrics"
        " where run_id = %s and is_champion and horizon not in ('1-30', '31-90')"
        " and value is not null order by 1",
        [run_id],
    ).fetchall()
    connection.commit()
    return {name: float(value) for name, value in rows if np.isfinite(value)}
