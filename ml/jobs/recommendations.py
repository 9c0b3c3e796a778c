"""What each customer may buy next, and what is bought together."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import recommendations, runs
from ml.jobs import running
from ml.recommendations import ranker
from ml.recommendations import recommend as rules

VERSION = "1.1"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Recommend to the customers of the last complete day."""
    lines = runs.read(
        connection,
        "select order_id, customer_key, product_key, order_date, quantity"
        " from features.basket_lines",
    )
    off_sale = runs.read(
        connection,
        "select product_key from features.product_attributes where not is_active order by 1",
    )
    as_of = running.last_complete_day(connection, lines["order_date"])
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features={"lines": lines, "off_sale": off_sale},
        as_of=as_of,
        parameters={
            "horizon_days": rules.HORIZON_DAYS,
            "top": rules.TOP,
            "active_days": rules.ACTIVE_DAYS,
            "min_pair_orders": rules.MIN_PAIR_ORDERS,
            "min_lift_orders": rules.MIN_LIFT_ORDERS,
            "features": ranker.FEATURES,
            "seed": rules.SEED,
        },
        result_of=partial(result, lines, as_of, off_sale["product_key"].tolist()),
    )


def result(
    lines: pd.DataFrame, as_of: pd.Timestamp | None = None, off_sale: Collection[str] = ()
) -> runs.Result:
    """The result of the recommendations task on rows of `features.basket_lines`."""
    try:
        model = recommendations.fit(lines, as_of, off_sale)
    except recommendations.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing), baseline=rules.BASELINE)
    metrics = recommendations.evaluate(model).assign(horizon=f"{rules.HORIZON_DAYS}")
    metrics["is_champion"] = metrics["model"] == metrics["series"].map(model.champions)
    metrics["is_baseline"] = metrics["model"] == rules.BASELINE
    return runs.Result(
        status="ok",
        note=model.note,
        champion=", ".join(f"{name}: {champion}" for name, champion in model.champions.items()),
        baseline=rules.BASELINE,
        trained_from=lines["order_date"].min().date(),
        trained_to=lines["order_date"].max().date(),
        tables=recommendations.predict(model),
        metrics=metrics,
    )


TASK = running.Task(
    name="recommendations",
    label="recommend products",
    reads=("basket_lines", "product_attributes", "daily_sales"),
    writes=("recommendations", "product_pairs"),
    run=run,
)
