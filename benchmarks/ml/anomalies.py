"""Anomalies: how many planted disturbances are found at one false alarm in a hundred days.

Days are planted at random among the open days of the shop, its own oddities left in. The method is
the one that the product's rule picks by disturbances of its own; these here are others.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import psycopg

from benchmarks.ml import report
from ml import anomalies, runs
from ml.anomalies import daily

FIRST_SEED = 1000  # the product's own rounds count from 0
ROUNDS = 20
# by factor: the best known method's recall; the first and the last are said to be about 1.0
TARGETS = {0.2: 0.99, 0.5: 0.28, 2.0: float("nan"), 3.0: 0.78, 5.0: 0.99}


def measure(connection: psycopg.Connection[Any]) -> report.Report:
    """Recall by factor for days with a future, and for the newest."""
    frame = runs.read(connection, "select * from features.daily_metrics")
    model = anomalies.fit(frame)
    shop = next(one for one in model.series if one.dimension == "total")
    methods = sorted({model.champion, model.newest, *model.contest["model"]})
    rows = [
        (method, factor, daily.recall(shop, method, factor, FIRST_SEED + seed))
        for method in methods
        for factor in TARGETS
        for seed in range(3 if method.endswith(daily.FOREST) else ROUNDS)
    ]
    found = pd.DataFrame(rows, columns=["method", "factor", "recall"])
    table = found.pivot_table(index="method", columns="factor", values="recall")
    measures = [
        report.Measure(
            name=f"anomalies, a day's sales x{factor:g}: recall at 1 % false alarms",
            value=float(table.loc[model.champion, factor]),
            baseline=float(table.loc[daily.BASELINE, factor]),
            target=target,
            better="higher",
        )
        for factor, target in TARGETS.items()
    ]
    shown = table.rename(columns=lambda factor: f"x{factor:g}").reset_index()
    shown["false alarms, newer half"] = shown["method"].map(model.false_alarms)
    picked = {model.champion: "settled days", model.newest: "newest days"}
    shown["picked for"] = shown["method"].map(picked).fillna("")
    return report.Report(
        measures,
        {f"Anomalies: recall of {ROUNDS * daily.PLANTED_DAYS} planted days": shown},
    )
