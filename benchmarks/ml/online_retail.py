"""The models on *Online Retail II*, each beside its trivial baseline.

    python -m benchmarks.ml.online_retail [folder of the two parquet files]

All of it is time-ordered: a score sees nothing dated after its cut-off. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.ml import frames
from ml import evaluation, segmentation
from ml.churn import models as churn_models

DEFAULT_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"
CHURN_CUTS = [pd.Timestamp(2011, month, 9) for month in range(3, 10)]
SEGMENT_CUT = pd.Timestamp("2011-09-09")


def cpu_seconds() -> float:
    """CPU-seconds of this process and of those that it started (Prophet's optimiser)."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def churn_scores(lines: pd.DataFrame) -> pd.DataFrame:
    """One row per model: means over the cuts, each trained on labels known 90 days before."""
    horizon = pd.Timedelta(days=90)
    dates = sorted({*CHURN_CUTS, *(cut - horizon for cut in CHURN_CUTS)})
    features = frames.customer_churn(lines, dates).sort_values(["as_of_date", "customer_key"])
    rows = []
    for cut in CHURN_CUTS:
        task = churn_models.Task(
            train=features[features["as_of_date"] == cut - horizon],
            score=features[features["as_of_date"] == cut],
            horizon_days=90,
        )
        outcome = churn_models.labels(task.score)
        with threadpool_limits(1):  # idle threads would count as CPU-seconds
            predictions = churn_models.predict_all(task)
        for model, probability in predictions.items():
            rows.append(
                {
                    "model": model,
                    "AUC": evaluation.roc_auc(outcome, probability),
                    "PR-AUC": evaluation.pr_auc(outcome, probability),
                    "Brier": evaluation.brier(outcome, probability),
                    "ECE": evaluation.expected_calibration_error(outcome, probability),
                    "lift 10 %": evaluation.lift(outcome, probability),
                }
            )
    return pd.DataFrame(rows).groupby("model", sort=False).mean().reset_index()


def segments(lines: pd.DataFrame) -> pd.DataFrame:
    """One row per tried k."""
    customers = frames.customer_churn(lines, [SEGMENT_CUT])
    model = segmentation.fit(customers)
    table = model.choice.rename(columns={"stability": "bootstrap ARI"})
    return table.assign(chosen=np.where(table["k"] == len(model.names), "yes", ""))


def markdown(table: pd.DataFrame, digits: int = 3) -> str:
    """A Markdown table; numbers are rounded."""

    def cell(value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        if not np.isfinite(value):
            return ""
        return f"{value:.0f}" if abs(value) > 100 else f"{value:.{digits}f}"

    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def main() -> int:
    """Run both; 2 where the files are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER)
    folder = parser.parse_args().folder
    try:
        lines = frames.lines(folder)
    except FileNotFoundError as missing:
        print(f"error: {missing.filename} is missing: name the folder of the files")
        return 2
    for title, measure in (
        ("Churn, 90 days, 7 monthly cuts", lambda: churn_scores(lines)),
        ("K-means on log R, F, M", lambda: segments(lines)),
    ):
        started = cpu_seconds()
        table = measure()
        print(f"\n{title} ({cpu_seconds() - started:.0f} CPU-seconds)\n\n{markdown(table)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
