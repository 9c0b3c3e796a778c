"""Products: demand over the lead time, and what each sells in 90 days; each beside its baseline."""

from __future__ import annotations

from typing import Any

import pandas as pd
import psycopg

from benchmarks.ml import report
from ml import demand, products, runs
from ml.demand import methods
from ml.jobs import demand as demand_job
from ml.jobs import products as products_job
from ml.products import products as rules

NONE = float("nan")  # nobody published a comparable number on this data


def measure(connection: psycopg.Connection[Any]) -> report.Report:
    """Pinball loss of demand by pattern, and errors of the 90-day predictions by group.

    The champion is the product's own: the best on the same past days, so its lead over the
    baseline is what a shop would have seen, a little flattered by the choice among few.
    """
    needs = demand.fit(*(runs.read(connection, query) for query in demand_job.QUERIES))
    sales = products.fit(*(runs.read(connection, query) for query in products_job.QUERIES))
    needed, sold = demand.evaluate(needs), products.evaluate(sales)
    measures = [
        _measure("demand, pinball", needed, pattern, champion, methods.BASELINE, "pinball")
        for pattern, champion in needs.champions.items()
        if (needed["series"] == pattern).any()
    ]
    measures += [
        _measure("units in 90 days, WAPE", sold, group, champion, rules.BASELINE[group], "wape")
        for group, champion in sales.champions.items()
        if (sold["series"] == group).any()
    ]
    return report.Report(
        measures,
        {
            "Demand over the lead time": _table(needed, needs.champions),
            "Units in 90 days": _table(sold, sales.champions),
        },
    )


def _measure(
    name: str, measured: pd.DataFrame, series: str, champion: str, baseline: str, metric: str
) -> report.Measure:
    value = measured.set_index(["series", "model", "metric"])["value"]
    return report.Measure(
        f"{name}: {series}",
        value[series, champion, metric],
        value[series, baseline, metric],
        NONE,
        "lower",
    )


def _table(measured: pd.DataFrame, champions: dict[str, str]) -> pd.DataFrame:
    wide = measured.pivot_table(
        index=["series", "model", "n"], columns="metric", values="value", sort=False
    ).reset_index()
    chosen = wide["model"] == wide["series"].map(champions)
    wide["champion"] = chosen.map({True: "yes", False: ""})
    return wide.rename(columns={"n": "measured on"})
