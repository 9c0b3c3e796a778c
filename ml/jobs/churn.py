"""The risk of each customer to buy no more."""

from __future__ import annotations

from typing import Any

import pandas as pd
import psycopg

from ml import churn, runs
from ml.churn import churn as rules
from ml.churn import models
from ml.jobs import running

VERSION = "1.0"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Score the churn of each customer of the last complete day."""
    features = runs.read(
        connection, "select * from features.customer_churn order by as_of_date, customer_key"
    )
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features=features,
        as_of=running.last_date(features, "as_of_date"),
        parameters={
            "horizon_days": rules.HORIZON_DAYS,
            "features": models.NUMBERS,
            "seed": models.SEED,
        },
        result_of=lambda: result(features),
    )


def result(features: pd.DataFrame) -> runs.Result:
    """The result of the churn task on rows of `features.customer_churn`."""
    try:
        model = churn.fit(features)
    except churn.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing), baseline=models.BASELINE)
    metrics = churn.evaluate(model).assign(
        series=rules.SERIES, horizon=f"{model.task.horizon_days}"
    )
    metrics["is_champion"] = metrics["model"] == model.champion
    metrics["is_baseline"] = metrics["model"] == models.BASELINE
    trained_on = model.task.latest["as_of_date"].max()
    return runs.Result(
        status="ok",
        note=model.note,
        champion=model.champion,
        baseline=models.BASELINE,
        trained_from=trained_on.date(),
        trained_to=(trained_on + pd.Timedelta(days=model.task.horizon_days)).date(),
        tables={"churn_scores": churn.predict(model)},
        metrics=metrics,
    )


TASK = running.Task(
    name="churn",
    label="score churn",
    reads=("customer_churn",),
    writes=("churn_scores",),
    run=run,
)
