"""Churn models: probability that a customer doesn't order in the horizon.

Every model is fitted to customers of past as-of dates whose horizon is over, and predicts for a
later as-of date. Rows of one as-of date are never split at random: on *Online Retail II* that
flatters the AUC of overlapping snapshots from .81 to .87.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from ml.customers import bgnbd
from ml.customers.history import purchase_summary

SEED = 20240229
MIN_LEAF = 40
_CLIP = 1e-4  # no probability is 0 or 1: nothing that a customer does is certain

RFM = ("recency_days", "order_days", "monetary_amount")
NUMBERS = (
    "recency_days",
    "tenure_days",
    "order_days",
    "orders",
    "order_days_30d",
    "order_days_90d",
    "order_days_180d",
    "order_days_365d",
    "order_days_same_season",
    "longest_gap_days",
    "gap_deviation_days",
    "monetary_amount",
    "returns_amount",
    "demand_30d_amount",
    "demand_90d_amount",
    "demand_180d_amount",
    "demand_365d_amount",
    "last_demand_amount",
)


@dataclass(frozen=True)
class Task:
    """What a model may see: labelled rows of the past and the rows to score.

    Attributes:
        train: features of earlier as-of dates with boolean `is_churned`, sorted.
        score: features of one later as-of date, sorted by customer.
        horizon_days: length of the label's window.
    """

    train: pd.DataFrame
    score: pd.DataFrame
    horizon_days: int

    @property
    def latest(self) -> pd.DataFrame:
        """Training rows of the latest as-of date only: the season is nearest, no row twice."""
        return self.train[self.train["as_of_date"] == self.train["as_of_date"].max()]


Model = Callable[[Task], np.ndarray]


def base_rate(task: Task) -> np.ndarray:
    """The trivial model: everyone churns with the latest known rate."""
    return np.full(len(task.score), float(task.latest["is_churned"].mean()))


def logistic(task: Task) -> np.ndarray:
    """The baseline: logistic regression on the logarithms of recency, frequency and money."""
    train, score = rfm_matrix(task.latest), rfm_matrix(task.score)
    return LinearReasons.fit(train, labels(task.latest)).probability(score)


def bg_nbd(task: Task) -> np.ndarray:
    """BG/NBD's probability of no purchase; learns from purchases up to the day of scoring."""
    repeats, last, age = purchase_summary(task.score)
    model = bgnbd.fit(repeats, last, age)
    return model.p_no_purchase(repeats, last, age, task.horizon_days)


def hist_gb(task: Task) -> np.ndarray:
    """Histogram gradient boosting on all features of the latest labelled as-of date."""
    train, score = matrix(task.latest), matrix(task.score)
    known = [i for i in range(train.shape[1]) if np.isfinite(train[:, i]).any()]
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=120,
        max_leaf_nodes=15,
        min_samples_leaf=MIN_LEAF,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=SEED,
    )
    model.fit(train[:, known], labels(task.latest))
    return model.predict_proba(score[:, known])[:, 1]


BASELINE = "logistic"

BASE_MODELS: Mapping[str, Model] = {
    "base_rate": base_rate,
    "logistic": logistic,
    "bg_nbd": bg_nbd,
    "hist_gb": hist_gb,
}
ENSEMBLES: Mapping[str, tuple[str, ...]] = {"blend": ("bg_nbd", "hist_gb")}


def predict_all(task: Task) -> dict[str, np.ndarray]:
    """Churn probabilities of every model that the data allow, each of shape (len(score),)."""
    predictions = {}
    for name, model in BASE_MODELS.items():
        try:
            predictions[name] = np.clip(model(task), _CLIP, 1 - _CLIP)
        except bgnbd.NotFittedError:
            continue
    for name, members in ENSEMBLES.items():
        if all(member in predictions for member in members):
            predictions[name] = np.mean([predictions[member] for member in members], axis=0)
    return predictions


def labels(frame: pd.DataFrame) -> np.ndarray:
    """1.0 for churned, 0.0 for not, shape (n,)."""
    return frame["is_churned"].astype(float).to_numpy()


def matrix(frame: pd.DataFrame) -> np.ndarray:
    """All numeric features and ratios of them, NaN where undefined, shape (n, features)."""
    numbers = frame[list(NUMBERS)].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_gap = (frame["tenure_days"] - frame["recency_days"]) / (frame["order_days"] - 1)
        ratios = np.column_stack(
            [
                mean_gap,
                frame["recency_days"] / mean_gap,
                frame["recency_days"] / frame["tenure_days"],
                frame["monetary_amount"] / frame["order_days"],
                frame["order_days"] / frame["tenure_days"],
            ]
        ).astype(float)
    ratios[~np.isfinite(ratios)] = np.nan
    return np.hstack([numbers, ratios])


def rfm_matrix(frame: pd.DataFrame) -> np.ndarray:
    """log(1 + recency, order days, money), money below 0 as 0, shape (n, 3)."""
    return np.log1p(frame[list(RFM)].to_numpy(float).clip(min=0))


@dataclass(frozen=True)
class LinearReasons:
    """Logistic regression on standardised columns, so that contributions can be compared."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    intercept: float

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray) -> LinearReasons:
        """Fit to x, shape (n, k), and labels 0 or 1, shape (n,)."""
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        model = LogisticRegression(C=1.0, max_iter=1000).fit((x - mean) / deviation, y)
        return cls(mean, deviation, model.coef_[0], float(model.intercept_[0]))

    def probability(self, x: np.ndarray) -> np.ndarray:
        """Probability of label 1, shape (n,)."""
        return expit(self.contributions(x).sum(axis=1) + self.intercept)

    def contributions(self, x: np.ndarray) -> np.ndarray:
        """Log odds that each column adds against the average customer: exact, shape (n, k)."""
        return (x - self.mean) / self.deviation * self.weights
