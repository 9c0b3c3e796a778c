"""How much of each product is needed until new goods can arrive, and when to order them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import business, demand, runs
from ml.demand import demand as rules
from ml.demand import methods
from ml.jobs import running

VERSION = "1.2"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Forecast the demand of every product's lead time from the last complete day on."""
    sales, stock, attributes = (runs.read(connection, query) for query in QUERIES)
    as_of = running.last_complete_day(connection, sales["order_date"])
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features={"sales": sales, "stock": stock, "attributes": attributes},
        as_of=as_of,
        parameters={
            "service_level": rules.SERVICE_LEVEL,
            "quantiles": methods.QUANTILES,
            "default_lead_days": business.DEFAULT_LEAD_DAYS,
            "origins": rules.ORIGINS,
        },
        result_of=partial(result, sales, stock, attributes, as_of),
    )


QUERIES = (
    "select product_key, order_date, sum(quantity) as units"
    " from features.basket_lines group by product_key, order_date",
    "select * from features.product_stock",
    "select product_key, lead_time_days, is_active, launched_date from features.product_attributes",
)


def result(
    sales: pd.DataFrame,
    stock: pd.DataFrame,
    attributes: pd.DataFrame,
    as_of: pd.Timestamp | None = None,
) -> runs.Result:
    """The result of the demand task on rows of the features that it reads."""
    try:
        model = demand.fit(sales, stock, attributes, as_of)
    except demand.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing), baseline=methods.BASELINE)
    metrics = demand.evaluate(model).assign(horizon="lead time")
    metrics["is_champion"] = metrics["model"] == metrics["series"].map(model.champions)
    metrics["is_baseline"] = metrics["model"] == methods.BASELINE
    return runs.Result(
        status="ok",
        note=model.note,
        champion=", ".join(f"{name}: {champion}" for name, champion in model.champions.items()),
        baseline=methods.BASELINE,
        trained_from=sales["order_date"].min().date(),
        trained_to=sales["order_date"].max().date(),
        tables={"demand_forecasts": demand.predict(model)},
        metrics=metrics,
    )


TASK = running.Task(
    name="demand",
    label="forecast demand per product",
    reads=("basket_lines", "product_stock", "product_attributes", "daily_sales"),
    writes=("demand_forecasts",),
    run=run,
)
