"""What each product will sell in the next 90 days."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import products, runs
from ml.failures import Failures
from ml.jobs import running
from ml.products import features
from ml.products import products as rules

VERSION = "1.2"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Predict the sales of every product from the last complete day on."""
    sales, attributes, reviews = (runs.read(connection, query) for query in QUERIES)
    as_of = running.last_complete_day(connection, sales["order_date"])
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features={"sales": sales, "attributes": attributes, "reviews": reviews},
        as_of=as_of,
        parameters={
            "horizon_days": features.HORIZON_DAYS,
            "new_days": features.NEW_DAYS,
            "history_features": features.HISTORY_FEATURES,
            "launch_features": features.LAUNCH_FEATURES,
            "seed": rules.SEED,
        },
        result_of=partial(result, sales, attributes, reviews, as_of),
    )


QUERIES = (
    "select product_key, order_date, sum(quantity) as units, sum(amount) as amount,"
    " count(*) as orders from features.basket_lines group by product_key, order_date",
    "select product_key, product_id, category, brand, price_amount, is_active, launched_date"
    " from features.product_attributes",
    "select * from features.product_reviews",
)


def result(
    sales: pd.DataFrame,
    attributes: pd.DataFrame,
    reviews: pd.DataFrame,
    as_of: pd.Timestamp | None = None,
) -> runs.Result:
    """The result of the products task on rows of the features that it reads."""
    baseline = ", ".join(f"{group}: {name}" for group, name in rules.BASELINE.items())
    try:
        model = products.fit(sales, attributes, reviews, as_of)
        predicted = products.predict(model)
    except products.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing), baseline=baseline)
    metrics = products.evaluate(model).assign(horizon=f"{features.HORIZON_DAYS}")
    metrics["is_champion"] = metrics["model"] == metrics["series"].map(model.champions)
    metrics["is_baseline"] = metrics["model"] == metrics["series"].map(rules.BASELINE)
    failures = Failures()
    leans_on = products.importance(model, failures)
    return runs.Result(
        status="ok",
        note="; ".join(note for note in (model.note, *failures.notes()) if note),
        champion=", ".join(f"{group}: {name}" for group, name in model.champions.items()),
        baseline=baseline,
        trained_from=sales["order_date"].min().date(),
        trained_to=sales["order_date"].max().date(),
        tables={"product_predictions": predicted},
        metrics=metrics,
        importance=leans_on,
    )


TASK = running.Task(
    name="products",
    label="predict sales per product",
    reads=("basket_lines", "product_attributes", "product_reviews", "daily_sales"),
    writes=("product_predictions",),
    run=run,
)
