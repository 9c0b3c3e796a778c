"""Churn: which customers won't order in the next 90 days, how likely, and why.

`fit` compares the models on past as-of dates, each trained on labels that were known by then, and
lets the best one score; `predict` scores the latest as-of date; `evaluate` measures the
comparison.

A shop has no contracts, so churn is never observed: the label is no countable order in
(as-of date, as-of date + horizon]. The champion is the model with the least mean Brier score (it
punishes both poor ranking and poor calibration); among models within `BRIER_TIE` the best PR-AUC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ml import evaluation
from ml.churn import models

HORIZON_DAYS = 90
BRIER_TIE = 0.0005
MAX_CUTS = 6
TIERS = (0.33, 0.66)  # low below the first, high above the second

# below these a score would be a guess
MIN_CUSTOMERS = 100
MIN_PER_CLASS = 20
MAX_DAYS_SINCE_LAST_ORDER = 30

SERIES = "customers"


class TooLittleDataError(Exception):
    """Churn can't be scored; the message says what is missing."""


@dataclass(frozen=True)
class ChurnModel:
    """A fitted churn model.

    Attributes:
        task: training rows and the rows to score.
        cuts: out-of-time predictions of every model: as_of_date, model, outcome, probability.
        champion: name of the model that scores.
        reasons: logistic regression on what can be said in words.
        note: what a reader must know, empty if nothing.
    """

    task: models.Task
    cuts: pd.DataFrame
    champion: str
    reasons: models.LinearReasons
    note: str = ""


def fit(features: pd.DataFrame, horizon_days: int = HORIZON_DAYS) -> ChurnModel:
    """Compare the models out of time and train the reasons.

    Args:
        features: rows of `features.customer_churn` in any order. The latest as-of date is scored.
        horizon_days: length of the window that `is_churned` looks at.

    Raises:
        TooLittleDataError: too few customers, orders too long ago, or no variety in the labels.
        ValueError: a label lies beyond the latest as-of date: it can't have been known.
    """
    if features.empty:
        raise TooLittleDataError("no customer with an order")
    features = features.sort_values(["as_of_date", "customer_key"]).reset_index(drop=True)
    today = features["as_of_date"].max()
    horizon = pd.Timedelta(days=horizon_days)
    known = features["is_churned"].notna().to_numpy()
    if (features["as_of_date"][known] + horizon > today).any():
        raise ValueError("a churn label is dated after the last day of the data")
    score = features[features["as_of_date"] == today]
    if len(score) < MIN_CUSTOMERS:
        raise TooLittleDataError(f"{len(score)} customers, {MIN_CUSTOMERS} are needed")
    if score["recency_days"].min() > MAX_DAYS_SINCE_LAST_ORDER:
        raise TooLittleDataError(
            f"the last order is {score['recency_days'].min()} days old, "
            f"more than {MAX_DAYS_SINCE_LAST_ORDER}"
        )
    labelled = features[known]
    task = _task(labelled, score, horizon_days)
    if task is None:
        raise TooLittleDataError(
            f"no day {horizon_days} days ago with {MIN_CUSTOMERS} customers, of whom "
            f"{MIN_PER_CLASS} came back and {MIN_PER_CLASS} did not"
        )
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        cuts = _out_of_time(labelled, horizon_days)
        reasons = models.LinearReasons.fit(_reason_matrix(task.latest), models.labels(task.latest))
    champion = choose_champion(cuts)
    note = ""
    if cuts.empty:
        note = "history too short for an out-of-time comparison: the baseline scores"
    elif champion == models.BASELINE:
        note = "no model beat the baseline (logistic regression on recency, frequency, money)"
    elif champion == "base_rate":
        note = "no model beat the mere churn rate: all customers get the same probability"
    return ChurnModel(task, cuts, champion, reasons, note)


def predict(model: ChurnModel) -> pd.DataFrame:
    """Scores of the latest as-of date.

    Returns:
        One row per customer: customer_key, horizon_days, churn_probability, tier (low, medium,
        high), reason_1..3 in words with reason_1..3_log_odds, the strongest first. Log odds are
        against the average customer, above 0 speaks for leaving; they are exact for a logistic
        regression on the named facts, which explains the champion but isn't it.
    """
    with threadpool_limits(1):
        probability = models.predict_all(model.task)[model.champion]
    score = model.task.score
    table = pd.DataFrame(
        {
            "customer_key": score["customer_key"].to_numpy(),
            "horizon_days": model.task.horizon_days,
            "churn_probability": probability,
            "tier": np.select(
                [probability < TIERS[0], probability <= TIERS[1]], ["low", "medium"], "high"
            ),
        }
    )
    contributions = model.reasons.contributions(_reason_matrix(score))
    strongest = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :3]
    words = _reason_words(score)
    rows = np.arange(len(score))
    for place in range(3):
        column = strongest[:, place]
        table[f"reason_{place + 1}"] = words[rows, column]
        table[f"reason_{place + 1}_log_odds"] = contributions[rows, column]
    return table


def evaluate(model: ChurnModel) -> pd.DataFrame:
    """Mean over the out-of-time cuts of each measure.

    Returns:
        One row per model and metric: model, metric, value, n (predictions measured): brier, pr_auc,
        roc_auc, ece, lift_10 (top tenth), churn_rate.
    """
    rows = []
    for name, part in model.cuts.groupby("model", sort=True) if len(model.cuts) else ():
        measured = pd.DataFrame(
            [_measures(cut) for _, cut in part.groupby("as_of_date", sort=True)]
        ).mean()
        rows += [(name, metric, value, len(part)) for metric, value in measured.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "n"])


def choose_champion(cuts: pd.DataFrame) -> str:
    """The model with the least Brier score that beats the baseline; the baseline if none does."""
    if cuts.empty:
        return models.BASELINE
    # a model that could not be fitted at every cut is not compared
    per_model = cuts.groupby("model")["as_of_date"].nunique()
    complete = per_model.index[per_model == cuts["as_of_date"].nunique()]
    means = (
        pd.DataFrame(
            [
                {"model": name, **_measures(cut)}
                for (name, _), cut in cuts.groupby(["model", "as_of_date"], sort=True)
                if name in complete
            ]
        )
        .groupby("model")
        .mean()
    )
    better = means[means["brier"] < means["brier"][models.BASELINE]]
    if better.empty:
        return models.BASELINE
    tied = better[better["brier"] <= better["brier"].min() + BRIER_TIE]
    return str(tied["pr_auc"].idxmax())


def _task(labelled: pd.DataFrame, score: pd.DataFrame, horizon_days: int) -> models.Task | None:
    """Rows to train on for scoring `score`: their horizon was over on its day. None if too few."""
    today = score["as_of_date"].max()
    train = labelled[labelled["as_of_date"] <= today - pd.Timedelta(days=horizon_days)]
    if train.empty:
        return None
    task = models.Task(train, score, horizon_days)
    outcome = models.labels(task.latest)
    enough = len(outcome) >= MIN_CUSTOMERS
    if not enough or min(outcome.sum(), len(outcome) - outcome.sum()) < MIN_PER_CLASS:
        return None
    return task


def _out_of_time(labelled: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
    parts = []
    for as_of in sorted(labelled["as_of_date"].unique(), reverse=True):
        score = labelled[labelled["as_of_date"] == as_of]
        task = _task(labelled, score, horizon_days)
        if task is None or len(parts) == MAX_CUTS:
            break
        outcome = models.labels(score)
        parts.append(
            pd.concat(
                [
                    pd.DataFrame(
                        {
                            "as_of_date": as_of,
                            "model": name,
                            "outcome": outcome,
                            "probability": probability,
                        }
                    )
                    for name, probability in models.predict_all(task).items()
                ]
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _measures(cut: pd.DataFrame) -> dict[str, float]:
    outcome, probability = cut["outcome"].to_numpy(), cut["probability"].to_numpy()
    return {
        "brier": evaluation.brier(outcome, probability),
        "pr_auc": evaluation.pr_auc(outcome, probability),
        "roc_auc": evaluation.roc_auc(outcome, probability),
        "ece": evaluation.expected_calibration_error(outcome, probability),
        "lift_10": evaluation.lift(outcome, probability),
        "churn_rate": float(outcome.mean()),
    }


def _reason_matrix(frame: pd.DataFrame) -> np.ndarray:
    """What reasons are made of, one column each, in the order of `_reason_words`.

    Few and little correlated on purpose: with correlated columns the weights take turns in
    sign, and a reason would say the opposite of what it means.
    """
    bought = frame["monetary_amount"].to_numpy(float) + frame["returns_amount"].to_numpy(float)
    returned = frame["returns_amount"].to_numpy(float) / np.where(bought > 0, bought, np.inf)
    return np.column_stack(
        [
            models.rfm_matrix(frame),
            np.log1p(frame["order_days_same_season"].to_numpy(float)),
            returned.clip(0, 1),
        ]
    )


def _reason_words(frame: pd.DataFrame) -> np.ndarray:
    """The facts behind each reason, shape (n, reasons)."""
    return np.column_stack(
        [
            [f"last order {_count(days, 'day')} ago" for days in frame["recency_days"]],
            [f"ordered on {_count(days, 'day')}" for days in frame["order_days"]],
            [f"spent {amount:,.2f} in all" for amount in frame["monetary_amount"]],
            [
                f"ordered on {_count(days, 'day')} in the same weeks a year ago"
                for days in frame["order_days_same_season"]
            ],
            [f"returned {share:.0%} by value" for share in _reason_matrix(frame)[:, -1]],
        ]
    ).astype(object)


def _count(n: float, unit: str) -> str:
    return f"{int(n)} {unit}{'' if n == 1 else 's'}"
