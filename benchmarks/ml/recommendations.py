"""Recommendations: the next basket of each known customer, and baskets with one item hidden."""

from __future__ import annotations

from typing import Any

import pandas as pd
import psycopg

from benchmarks.ml import report
from ml import recommendations, runs
from ml.failures import Failures
from ml.recommendations import recommend
from ml.recommendations.baskets import Baskets, days_of
from ml.recommendations.ranker import Lessons

# measured method by method on this data; targets are the best of each
TARGETS = {
    ("next_basket", "recall_10"): 0.158,
    ("next_basket", "ndcg_10"): 0.297,
    ("basket_completion", "hit_10"): 0.294,
    ("basket_completion", "ndcg_10"): 0.174,
    ("new_items", "recall_10"): 0.046,
    ("new_items", "ndcg_10"): 0.069,
}
ROUNDED = 0.0005  # targets are known to three digits
TEST_BASKETS = 4000


def measure(connection: psycopg.Connection[Any]) -> report.Report:
    """The champions that the shop would have had one horizon ago, on what was bought since.

    They were chosen on the horizon before that, so nothing was chosen on what it is measured by.
    """
    lines = runs.read(
        connection,
        "select order_id, customer_key, product_key, order_date, quantity"
        " from features.basket_lines",
    )
    cut = lines["order_date"].max() - pd.Timedelta(days=recommend.HORIZON_DAYS)
    chosen = recommendations.fit(lines[lines["order_date"] <= cut], cut).champions
    baskets, day = Baskets.from_frame(lines), int(days_of(pd.Series([cut]))[0])
    lessons = Lessons(baskets, recommend.HORIZON_DAYS)
    measured = recommend.compare(lessons, day, baskets.last_day, TEST_BASKETS, Failures())
    values = measured.set_index(["series", "model", "metric"])["value"]
    measures = [
        report.Measure(
            f"{question.replace('_', ' ')}: {metric.replace('_', '@')}",
            values[question, chosen[question], metric],
            values[question, recommend.BASELINE, metric],
            target,
            "higher",
            ROUNDED,
        )
        for (question, metric), target in TARGETS.items()
    ]
    return report.Report(measures, {"Recommendations": _table(measured, chosen)})


def _table(measured: pd.DataFrame, chosen: dict[str, str]) -> pd.DataFrame:
    wide = measured.pivot_table(
        index=["series", "model", "n"], columns="metric", values="value", sort=False
    ).reset_index()
    wide["champion"] = [
        "yes" if chosen[s] == m else "" for s, m in wide[["series", "model"]].values
    ]
    return wide.rename(columns={"series": "question", "n": "measured on"})
