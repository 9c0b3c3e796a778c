"""Clusters of the customers."""

from __future__ import annotations

from typing import Any

import pandas as pd
import psycopg

from ml import runs, segmentation
from ml.jobs import running
from ml.segmentation import clusters as rules

VERSION = "1.0"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Cluster the customers of the last complete day."""
    customers = runs.read(
        connection,
        "select customer_key, as_of_date, recency_days, order_days, monetary_amount"
        " from features.customer_rfm where is_latest order by customer_key",
    )
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features=customers,
        as_of=running.last_date(customers, "as_of_date"),
        parameters={
            "columns": rules.COLUMNS,
            "min_stability": rules.MIN_STABILITY,
            "seed": rules.SEED,
        },
        result_of=lambda: result(customers),
    )


def result(customers: pd.DataFrame) -> runs.Result:
    """The result of the segments task on the latest rows of `features.customer_rfm`."""
    try:
        model = segmentation.fit(customers)
    except segmentation.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing))
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
            "n": min(len(customers), rules.SAMPLE),
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


TASK = running.Task(
    name="segments",
    label="cluster customers",
    reads=("customer_rfm",),
    writes=("customer_segments",),
    run=run,
)
