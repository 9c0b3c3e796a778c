"""What each customer will spend in the next 12 months."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import lifetime, runs
from ml.customers.history import History
from ml.failures import Failures
from ml.jobs import customers, running
from ml.lifetime import lifetime as rules
from ml.lifetime import models

VERSION = "1.3"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Predict the 12 months after the last complete day."""
    days, as_of = customers.read_days(connection)
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features=days,
        as_of=as_of,
        parameters={
            "horizon_days": rules.HORIZON_DAYS,
            "confidence": rules.CONFIDENCE,
            "seed": models.SEED,
        },
        result_of=partial(result, days, as_of),
    )


def result(days: pd.DataFrame, as_of: pd.Timestamp | None) -> runs.Result:
    """The result of the lifetime task on rows of `features.customer_days`."""
    if as_of is None or days.empty:
        return runs.Result(
            running.NO_DATA, note="no customer with an order", baseline=models.BASELINE
        )
    history = History.from_frame(days, as_of)
    try:
        model = lifetime.fit(history)
    except lifetime.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing), baseline=models.BASELINE)
    metrics = lifetime.evaluate(model).assign(series=rules.SERIES, horizon=f"{model.backtest_days}")
    metrics["is_champion"] = metrics["model"] == model.champion
    metrics["is_baseline"] = metrics["model"] == models.BASELINE
    failures, leans_on = Failures(), pd.DataFrame()
    with failures.leave_out("importance of the facts"):
        leans_on = lifetime.importance(history, model)
    return runs.Result(
        status="ok",
        note="; ".join(note for note in (model.note, *failures.notes()) if note),
        champion=model.champion,
        baseline=models.BASELINE,
        trained_from=history.first_day.date(),
        trained_to=as_of.date(),
        tables={"lifetime_values": lifetime.predict(model)},
        metrics=metrics,
        importance=leans_on.assign(series=rules.SERIES, model=model.champion),
    )


TASK = running.Task(
    name="lifetime",
    label="predict lifetime values",
    reads=customers.READS,
    writes=("lifetime_values",),
    run=run,
)
