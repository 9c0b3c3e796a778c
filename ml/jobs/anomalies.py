"""Days and orders that were out of the ordinary."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import anomalies, runs
from ml.anomalies import daily, orders
from ml.jobs import running

VERSION = "1.0"
DAYS, ORDERS = "days", "orders"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Look for anomalies in the days up to the last complete one, and in the orders."""
    days = runs.read(
        connection,
        "select * from features.daily_metrics order by metric_date, dimension, member",
    )
    facts = runs.read(connection, "select * from features.order_facts order by placed_at, order_id")
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features={"daily_metrics": days, "order_facts": facts},
        as_of=_dates(days, facts).max() if len(days) or len(facts) else None,
        parameters={
            "budget_days": daily.BUDGET,
            "budget_orders": orders.BUDGET,
            "metrics": daily.METRICS,
            "newest_days": daily.NEWEST_DAYS,
            "seed": anomalies.residuals.SEED,
        },
        result_of=partial(result, days, facts),
    )


def result(days: pd.DataFrame, facts: pd.DataFrame) -> runs.Result:
    """The result of the task on rows of `features.daily_metrics` and `features.order_facts`.

    Days and orders are judged apart: too little of one leaves the other.
    """
    tables, metrics, champions, notes = {}, [], {}, []
    try:
        model = anomalies.fit(days)
    except anomalies.TooLittleDataError as missing:
        notes.append(f"{DAYS}: {missing}")
    else:
        tables["anomalies"] = anomalies.predict(model)
        champions |= {DAYS: model.champion, "newest days": model.newest}
        notes += [f"{DAYS}: {model.note}"] if model.note else []
        measured = anomalies.evaluate(model)
        chosen = measured["horizon"].map({"settled": model.champion, "newest": model.newest})
        metrics.append(measured.assign(series=DAYS, is_champion=measured["model"] == chosen))
    try:
        strange = orders.fit(facts)
    except anomalies.TooLittleDataError as missing:
        notes.append(f"{ORDERS}: {missing}")
    else:
        tables["order_outliers"] = orders.predict(strange)
        champions[ORDERS] = strange.champion
        notes += [f"{ORDERS}: {strange.note}"] if strange.note else []
        measured = orders.evaluate(strange).assign(series=ORDERS, horizon="planted")
        metrics.append(measured.assign(is_champion=measured["model"] == strange.champion))
    both = pd.concat(metrics, ignore_index=True) if metrics else pd.DataFrame()
    if len(both):
        both["is_baseline"] = both["model"] == daily.BASELINE
    dates = _dates(days, facts)
    return runs.Result(
        status="ok" if champions else running.NO_DATA,
        note="; ".join(notes),
        champion=", ".join(f"{what}: {method}" for what, method in champions.items()) or None,
        baseline=daily.BASELINE,
        trained_from=dates.min().date() if len(dates) else None,
        trained_to=dates.max().date() if len(dates) else None,
        tables=tables,
        metrics=both,
    )


def _dates(days: pd.DataFrame, facts: pd.DataFrame) -> pd.Series:
    return days["metric_date"] if len(days) else facts["order_date"]


TASK = running.Task(
    name="anomalies",
    label="look for anomalies",
    reads=("daily_metrics", "order_facts"),
    writes=("anomalies", "order_outliers"),
    run=run,
)
