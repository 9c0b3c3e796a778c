"""How demand answers to prices."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import elasticity, runs
from ml.elasticity import backtest
from ml.elasticity import elasticity as rules
from ml.jobs import running

VERSION = "1.0"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Learn the elasticities from all complete weeks."""
    features = runs.read(connection, "select * from features.product_price_weeks")
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features=features,
        as_of=running.last_date(features, "week_end_date"),
        parameters={
            "min_weeks": rules.MIN_WEEKS,
            "max_weeks": rules.MAX_WEEKS,
            "min_deviation": rules.MIN_DEVIATION,
            "min_products": rules.MIN_PRODUCTS,
            "origins": backtest.ORIGINS,
            "step_weeks": backtest.STEP_WEEKS,
        },
        result_of=partial(result, features),
    )


def result(features: pd.DataFrame) -> runs.Result:
    """The result of the elasticity task on rows of `features.product_price_weeks`."""
    try:
        model = elasticity.fit(features)
    except elasticity.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing), baseline=backtest.BASELINE)
    return runs.Result(
        status="ok",
        note=model.note,
        champion=model.champion,
        baseline=backtest.BASELINE,
        trained_from=features["week_start_date"].min().date(),
        trained_to=features["week_end_date"].max().date(),
        tables={"price_elasticity": elasticity.predict(model)},
        metrics=elasticity.evaluate(model),
    )


TASK = running.Task(
    name="elasticity",
    label="measure price elasticities",
    reads=("product_price_weeks",),
    writes=("price_elasticity",),
    run=run,
)
