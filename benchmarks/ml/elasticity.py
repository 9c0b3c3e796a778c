"""Price elasticities: what they explain out of time, and how many have the right sign."""

from __future__ import annotations

from typing import Any

import pandas as pd
import psycopg

from benchmarks.ml import report
from ml import elasticity, runs
from ml.elasticity import backtest

# the best known method on this data: pooled, small orders of identified buyers, median price
PEER_NEGATIVE = 0.83
PEER_GAIN = 0.20


def measure(connection: psycopg.Connection[Any]) -> report.Report:
    """The leading buyer group's champion beside "no price effect" and the other estimators.

    How the peer's gain was split and weighted is not known, so the pooled least squares that it
    used stand in the table by our definition too.
    """
    model = elasticity.fit(runs.read(connection, "select * from features.product_price_weeks"))
    measured = elasticity.evaluate(model)
    lead = measured[measured["series"] == model.groups[0].name]
    champion = lead[lead["is_champion"]].set_index("metric")["value"]
    return report.Report(
        [
            report.Measure(
                "elasticity: negative after shrinkage",
                champion["negative_share"],
                champion["negative_share_unshrunk"],
                PEER_NEGATIVE,
                "higher",
            ),
            report.Measure(
                "elasticity: R² gain, 4 weeks ahead", champion["r2_gain"], 0.0, PEER_GAIN, "higher"
            ),
            report.Measure(
                "elasticity: R² gain where the price had moved",
                champion["r2_gain_moved"],
                0.0,
                float("nan"),
                "higher",
            ),
        ],
        {"Price elasticity": _table(measured)},
    )


def _table(measured: pd.DataFrame) -> pd.DataFrame:
    """One row per buyer group and model."""
    wide = measured.pivot_table(
        index=["series", "model"], columns="metric", values="value", sort=False
    ).reset_index()
    chosen = measured.loc[measured["is_champion"], ["series", "model"]].drop_duplicates()
    wide = wide.merge(chosen.assign(champion="yes"), how="left").fillna({"champion": ""})
    names = {
        "series": "buyers",
        "model": "model",
        "champion": "champion",
        "deviance_gain": "deviance gain",
        "r2_gain": "R² gain",
        "r2_gain_moved": "R² gain, price moved",
        "products": "products",
        "pooled_elasticity": "pooled",
        "pooled_error": "se",
        "placebo_lead_price": "placebo",
        "negative_share": "negative, shrunk",
        "negative_share_unshrunk": "negative, raw",
    }
    table = wide.reindex(columns=list(names)).rename(columns=names)
    table["model"] = table["model"].replace(backtest.BASELINE, "no price effect")
    return table
