"""How pleased each review is, and what is said of each product."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import psycopg

from ml import runs, sentiment
from ml.jobs import running
from ml.sentiment import sentiment as rules

VERSION = "1.0"
SERIES = "reviews"


def run(connection: psycopg.Connection[Any]) -> running.Outcome:
    """Score the reviews up to the last complete day."""
    reviews = runs.read(
        connection, "select * from features.review_texts order by review_date, review_id"
    )
    return running.compute(
        connection,
        task=TASK.name,
        version=VERSION,
        features=reviews,
        as_of=running.last_date(reviews, "review_date"),
        parameters={
            "labels": rules.LABELS,
            "newer_share": rules.NEWER_SHARE,
            "min_rated": rules.MIN_RATED,
            "seed": rules.SEED,
        },
        result_of=partial(result, reviews),
    )


def result(reviews: pd.DataFrame) -> runs.Result:
    """The result of the task on rows of `features.review_texts`."""
    try:
        model = sentiment.fit(reviews)
    except sentiment.TooLittleDataError as missing:
        return runs.Result(running.NO_DATA, note=str(missing), baseline=rules.BASELINE)
    measured = sentiment.evaluate(model).assign(series=SERIES, horizon="newer")
    measured["is_champion"] = measured["model"] == model.champion
    measured["is_baseline"] = measured["model"] == rules.BASELINE
    dates = model.reviews["review_date"]
    return runs.Result(
        status="ok",
        note=model.note,
        champion=model.champion,
        baseline=rules.BASELINE,
        trained_from=dates.min().date(),
        trained_to=dates.max().date(),
        tables={
            "review_sentiment": sentiment.predict(model),
            "product_aspects": sentiment.product_aspects(model),
        },
        metrics=measured,
    )


TASK = running.Task(
    name="sentiment",
    label="read reviews",
    reads=("review_texts",),
    writes=("review_sentiment", "product_aspects"),
    run=run,
)
