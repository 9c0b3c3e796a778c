"""What the channels bring, and where the budget should move."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import marketing, runs
from ml.jobs import running
from ml.marketing import incrementality, response
from ml.marketing import marketing as rules

VERSION = "1.0"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Learn the responses from all complete weeks."""
    features = runs.read(connection, "select * from features.channel_weeks")
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features=features,
        as_of=running.last_date(features, "week_end_date"),
        parameters={
            "decays": response.DECAYS,
            "min_weeks": rules.MIN_WEEKS,
            "min_weeks_incrementality": incrementality.MIN_WEEKS,
            "draws": response.DRAWS,
            "seed": rules.SEED,
        },
        result_of=partial(result, features),
    )


def result(features: pd.DataFrame) -> runs.Result:
    """The result of the marketing task on rows of `features.channel_weeks`."""
    try:
        model = marketing.fit(features)
    except marketing.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing), baseline=rules.MEAN)
    curves, advice = marketing.predict(model)
    return runs.Result(
        status="ok",
        note=model.note,
        champion=f"{rules.CURVE} on {model.credit} credit",
        baseline=rules.MEAN,
        trained_from=features["week_start_date"].min().date(),
        trained_to=features["week_end_date"].max().date(),
        tables={"channel_response": curves, "budget_advice": advice},
        metrics=marketing.evaluate(model),
    )


TASK = running.Task(
    name="marketing",
    label="learn what channels bring",
    reads=("channel_weeks",),
    writes=("channel_response", "budget_advice"),
    run=run,
)
