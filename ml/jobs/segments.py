"""Clusters of the customers."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from ml import runs, schema, segmentation
from ml.jobs import running
from ml.segmentation import clusters as rules

VERSION = "2.0"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Cluster the customers of the last complete day."""
    customers = runs.read(
        connection,
        "select customer_key, as_of_date, recency_days, order_days, monetary_amount"
        " from features.customer_rfm where is_latest order by customer_key",
    )
    as_of = running.last_date(customers, "as_of_date")
    previous = _previous(connection, as_of)
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features={"customers": customers, "previous": previous},
        as_of=as_of,
        parameters={
            "columns": rules.COLUMNS,
            "min_stability": rules.MIN_STABILITY,
            "seed": rules.SEED,
        },
        result_of=partial(result, customers, previous),
    )


def result(customers: pd.DataFrame, previous: pd.DataFrame | None = None) -> runs.Result:
    """The result of the segments task.

    Args:
        customers: the latest rows of `features.customer_rfm`.
        previous: rows of `ml.cluster_profiles` of the run before.
    """
    try:
        model = segmentation.fit(customers, previous)
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
            "n": min(len(customers), rules.STABILITY_SAMPLE),
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
        tables={
            "customer_segments": segmentation.predict(model, customers),
            "cluster_profiles": segmentation.profiles(model, customers),
        },
        metrics=metrics,
    )


def _previous(connection: psycopg.Connection[Any], as_of: pd.Timestamp | None) -> pd.DataFrame:
    """Profiles of the newest run of an earlier day: runs of one day don't depend on each other."""
    schema.ensure(connection)
    columns = sql.SQL(", ").join(
        map(sql.Identifier, ("cluster", "cluster_name", *(f"centre_{c}" for c in rules.COLUMNS)))
    )
    day = as_of.date() if as_of is not None else None
    return runs.read(
        connection,
        sql.SQL(
            "select {} from ml.cluster_profiles where run_id = (select run_id from ml.runs"
            " where task = 'segments' and status = 'ok' and as_of_date < {}::date"
            " order by as_of_date desc, confirmed_at desc, run_id limit 1) order by cluster"
        ).format(columns, sql.Literal(day)),
    )


TASK = running.Task(
    name="segments",
    label="cluster customers",
    reads=("customer_rfm",),
    writes=("customer_segments", "cluster_profiles"),
    run=run,
)
