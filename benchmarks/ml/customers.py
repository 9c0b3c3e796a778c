"""Lifetime value, churn and clusters of *Online Retail II*, and CDNOW, beside published numbers.

Cut-offs and horizons are those of the targets. At each of them the product's own rule picks the
model from what was known on that day: no choice has seen what it is measured by.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from benchmarks.ml.report import Measure, Report
from ml import churn, evaluation, lifetime, runs, segmentation
from ml.churn import churn as churn_rules
from ml.churn import models as churn_models
from ml.customers import bgnbd
from ml.customers.history import History, purchase_summary, snapshot
from ml.jobs import customers
from ml.lifetime import lifetime as lifetime_rules
from ml.lifetime import models as lifetime_models

DATA = Path(os.environ.get("LEDGERLINE_DATA", Path(__file__).parents[3] / "shared" / "data"))
VALUE_CUTS = [pd.Timestamp("2010-12-08") + pd.DateOffset(months=i) for i in range(7)]
VALUE_DAYS = 183
CHURN_CUTS = [pd.Timestamp(2011, month, 9) for month in range(3, 10)]
CHURN_DAYS = 90
SEGMENT_CUT = pd.Timestamp("2011-09-09")
# the last day of the files ends at 12:50
LAST_COMPLETE_DAY = pd.Timestamp("2011-12-08")
RULE = "the rule's pick"


def measure(connection: psycopg.Connection[Any]) -> Report:
    """Measure all three on the warehouse's `features`, and BG/NBD on CDNOW where its file is."""
    days, as_of = customers.read_days(connection)
    rfm = runs.read(
        connection,
        "select customer_key, activity_date, demand_amount - returns_amount as amount, has_order"
        " from features.customer_days order by customer_key, activity_date",
    )
    baskets = runs.read(
        connection,
        "select customer_key, order_date as activity_date, count(distinct order_id) as orders,"
        " sum(amount) as demand_amount from features.basket_lines"
        " where customer_key is not null group by customer_key, order_date",
    )
    connection.commit()
    assert as_of is not None
    last = min(as_of, LAST_COMPLETE_DAY)
    days = days[days["activity_date"] <= last]
    history = History.from_frame(days, last)
    values = _values(_merchandise(baskets, last))
    net = _values(history)
    risks = _risks(history)
    groups, tried = _groups(rfm)
    parts = [_value_measures(values), _churn_measures(risks), groups, _cdnow()]
    return Report(
        measures=[one for part in parts for one in part],
        details={
            f"Lifetime value, {VALUE_DAYS} days, mean of 7 monthly cut-offs, merchandise":
                _table(values),
            "The same of all sales net of later returns, as the product predicts it": _table(net),
            f"Churn in {CHURN_DAYS} days, mean of 7 monthly cut-offs": _table(risks),
            "K-means on log R, F, M on 2011-09-09": tried,
        },
    )  # fmt: skip


def _merchandise(baskets: pd.DataFrame, last: pd.Timestamp) -> History:
    """What the published target counts: merchandise less what went back on the same day."""
    return History.from_frame(
        baskets[baskets["activity_date"] <= last].assign(
            is_purchase=True, returns_amount=0.0, same_day_returns_amount=0.0
        ),
        last,
    )


def _values(history: History) -> pd.DataFrame:
    rows = []
    for cut in VALUE_CUTS:
        known = history.up_to(cut)
        model = lifetime.fit(known, VALUE_DAYS)
        task = lifetime_models.Task(known, VALUE_DAYS, VALUE_DAYS)
        end = cut + pd.Timedelta(days=VALUE_DAYS)
        actual = history.between(cut, end, history.net)[task.now.index]
        predictions = lifetime_models.predict_all(task)
        table = lifetime.predict(model)
        picked = table["predicted_amount"].to_numpy()
        for name, predicted in {**predictions, RULE: picked}.items():
            cut_rows = pd.DataFrame({"actual": actual, "predicted": predicted})
            rows.append({"cut": cut, "model": name, **lifetime_rules.measures(cut_rows)})
        rows[-1]["coverage_80"] = evaluation.coverage(
            np.maximum(actual, 0), table["lo80"].to_numpy(), table["hi80"].to_numpy()
        )
        rows[-1]["picked"] = model.champion
    return pd.DataFrame(rows)


def _risks(history: History) -> pd.DataFrame:
    rows = []
    for cut in CHURN_CUTS:
        model = churn.fit(history.up_to(cut), CHURN_DAYS)
        outcome = churn_models.labels(churn_models.labelled(history, cut, CHURN_DAYS))
        predictions = churn_models.predict_all(model.task)
        for name, probability in {**predictions, RULE: model.probability}.items():
            found = churn_rules.measures(
                pd.DataFrame({"outcome": outcome, "probability": probability})
            )
            rows.append({"cut": cut, "model": name, **found})
        rows[-1]["picked"] = model.champion
    return pd.DataFrame(rows)


def _groups(days: pd.DataFrame) -> tuple[list[Measure], pd.DataFrame]:
    known = days[days["activity_date"] <= SEGMENT_CUT]
    ordered = known[known["has_order"].astype(bool)].groupby("customer_key")["activity_date"]
    frame = pd.DataFrame(
        {
            "recency_days": (SEGMENT_CUT - ordered.max()).dt.days,
            "order_days": ordered.size(),
            "monetary_amount": known.groupby("customer_key")["amount"].sum(),
        }
    )
    frame = frame.dropna().reset_index()
    model = segmentation.fit(frame)
    table = model.choice.rename(columns={"stability": "bootstrap ARI"})
    chosen = table["k"] == len(model.names)
    table["chosen"] = np.where(chosen, "yes", "")
    found = float(table.loc[chosen, "bootstrap ARI"].iloc[0])
    at_two = float(table.loc[table["k"] == 2, "silhouette"].iloc[0])
    return (
        [
            Measure(f"segments, bootstrap ARI at the rule's k={len(model.names)}", found,
                    float("nan"), 0.92, "higher"),
            Measure("segments, silhouette (baseline: k=2)",
                    float(table.loc[chosen, "silhouette"].iloc[0]), at_two, float("nan"), "higher"),
        ],
        table,
    )  # fmt: skip


def _value_measures(values: pd.DataFrame) -> list[Measure]:
    means = values.groupby("model").mean(numeric_only=True)
    baseline = means.loc[lifetime_models.BASELINE]
    found = means.loc[RULE]
    nothing = float("nan")
    return [
        Measure("CLV, Gini", found["gini"], baseline["gini"], 0.863, "higher"),
        Measure("CLV, MAE", found["mae"], baseline["mae"], 529, "lower"),
        Measure("CLV, R²", found["r2"], baseline["r2"], 0.78, "higher"),
        Measure("CLV, error of the total", found["total_error"], baseline["total_error"], 0.17,
                "lower"),
        Measure("CLV, 80 % interval covers", found["coverage_80"], nothing, nothing, "higher"),
    ]  # fmt: skip


def _churn_measures(risks: pd.DataFrame) -> list[Measure]:
    means = risks.groupby("model").mean(numeric_only=True)
    found, baseline = means.loc[RULE], means.loc[churn_models.BASELINE]
    wanted = {
        "roc_auc": ("AUC", 0.814, "higher"),
        "brier": ("Brier", 0.165, "lower"),
        "ece": ("ECE", 0.045, "lower"),
        "pr_auc": ("PR-AUC", 0.866, "higher"),
        "lift_10": ("lift of the top tenth", float("nan"), "higher"),
    }
    return [
        Measure(f"churn 90 d, {label}", found[name], baseline[name], target, better)
        for name, (label, target, better) in wanted.items()
    ]


def _cdnow() -> list[Measure]:
    """BG/NBD on the public sample of CDNOW's customers; nothing where its file is missing."""
    file = DATA / "CDNOW_sample.txt"
    if not file.exists():
        return []
    bought = pd.read_csv(file, sep=r"\s+", names=["_", "customer", "date", "cds", "amount"])
    bought["date"] = pd.to_datetime(bought["date"].astype(str), format="%Y%m%d")
    rows = bought.groupby(["customer", "date"], as_index=False)["amount"].sum()
    whole = History.from_frame(
        pd.DataFrame(
            {
                "customer_key": rows["customer"].astype(str),
                "activity_date": rows["date"],
                "orders": 1,
                "is_purchase": True,
                "demand_amount": rows["amount"],
                "returns_amount": 0.0,
                "same_day_returns_amount": 0.0,
            }
        ),
        rows["date"].max(),
    )
    end, horizon = pd.Timestamp("1997-09-30"), 273
    known = snapshot(whole.up_to(end), horizon)
    summary = purchase_summary(known)
    fitted = bgnbd.fit(*summary, penalty=0.0)
    expected = fitted.expected_purchases(*summary, horizon)
    actual = whole.between(end, whole.as_of, whole.is_purchase.astype(float))[known.index]
    naive = known["order_days"].to_numpy(float) / known["tenure_days"].clip(lower=1) * horizon
    return [
        Measure("CDNOW, BG/NBD log-likelihood", fitted.log_likelihood, float("nan"), -9582.43,
                "within", 0.01),
        Measure("CDNOW, BG/NBD correlation", float(np.corrcoef(actual, expected)[0, 1]),
                float(np.corrcoef(actual, naive)[0, 1]), 0.626, "within", 0.001),
    ]  # fmt: skip


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the cut-offs, one row per model; the rule's row says what it picked."""
    by_model = rows.groupby("model", sort=False)
    means = by_model.mean(numeric_only=True)
    means.insert(0, "cut-offs", by_model.size().astype(str))
    means = means.reset_index()
    picked = rows["picked"].dropna().value_counts()
    said = ", ".join(f"{name} {count}x" for name, count in picked.items())
    means["model"] = means["model"].replace({RULE: f"{RULE}: {said}"})
    cells = ("deviance", "true_positive", "false_positive", "false_negative", "true_negative")
    return means.drop(columns=["cut", *cells], errors="ignore")
