"""Churn models: probability that a customer doesn't order in the horizon.

Every model is fitted to customers of a past day whose horizon is over, and predicts for a later
day. Rows of one day are never split at random: on *Online Retail II* that flatters the AUC of
overlapping snapshots from .81 to .87.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from ml.asof import require_past
from ml.customers import bgnbd
from ml.customers.bgnbd import NotFittedError
from ml.customers.history import History, purchase_summary, snapshot, thinned
from ml.evaluation import finite
from ml.failures import Failures

SEED = 20240229
MIN_LEAF = 40
MAX_TRAIN = 10_000  # customers that trees learn from: more cost time and gain nothing measurable
TREES = 30
_CLIP = 1e-4  # no probability is 0 or 1: nothing that a customer does is certain
# a year ago the shop must have been old enough for its customers to have shown a rhythm
MIN_SEASON_HISTORY_DAYS = 180
_WEEKS_52 = pd.Timedelta(days=364)

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


# what tells nearly the same stands together, see `ml.importance`
FACTS: Mapping[str, tuple[str, ...]] = {
    "recency": ("recency_days",),
    "time since the first order": ("tenure_days",),
    "frequency": (
        "order_days",
        "orders",
        "order_days_30d",
        "order_days_90d",
        "order_days_180d",
        "order_days_365d",
    ),
    "orders in the same weeks a year ago": ("order_days_same_season",),
    "rhythm": ("longest_gap_days", "gap_deviation_days"),
    "spend": (
        "monetary_amount",
        "demand_30d_amount",
        "demand_90d_amount",
        "demand_180d_amount",
        "demand_365d_amount",
        "last_demand_amount",
    ),
    "returns": ("returns_amount",),
}


@dataclass(frozen=True)
class Task:
    """What a model may see.

    Attributes:
        train: features of the latest earlier day whose horizon is over, with boolean `is_churned`:
            the season is nearest, and no customer is in it twice.
        score: features of the day to score.
        horizon_days: length of the label's window.
        season_log_odds: by how much BG/NBD erred over the same days a year ago, in log odds;
            None if that isn't known.
        known: features of all customers on the day to score, whose purchases BG/NBD learns from;
            None for those to score.
    """

    train: pd.DataFrame
    score: pd.DataFrame
    horizon_days: int
    season_log_odds: float | None = None
    known: pd.DataFrame | None = None

    @classmethod
    def at(cls, history: History, horizon_days: int) -> Task:
        """The task of the history's last day; nothing after it is looked at."""
        horizon = pd.Timedelta(days=horizon_days)
        return cls(
            train=labelled(history, history.as_of - horizon, horizon_days),
            score=snapshot(history, horizon_days),
            horizon_days=horizon_days,
            season_log_odds=_season(history, horizon_days),
        )


def labelled(history: History, date: pd.Timestamp, horizon_days: int) -> pd.DataFrame:
    """Features of a past day, and `is_churned`: no purchase in (date, date + horizon].

    Raises:
        LeakError: that window isn't over.
    """
    end = date + pd.Timedelta(days=horizon_days)
    frame = snapshot(history.up_to(date), horizon_days).assign(known_on=end)
    require_past(frame, ("known_on",), history.as_of)
    bought = history.between(date, end, history.is_purchase.astype(float))[frame.index]
    return frame.assign(is_churned=bought == 0)


Model = Callable[[Task], np.ndarray]


def base_rate(task: Task) -> np.ndarray:
    """The trivial model: everyone churns with the latest known rate."""
    return np.full(len(task.score), float(task.train["is_churned"].mean()))


def logistic(task: Task) -> np.ndarray:
    """The baseline: logistic regression on the logarithms of recency, frequency and money."""
    train, score = rfm_matrix(task.train), rfm_matrix(task.score)
    return LinearReasons.fit(train, labels(task.train)).probability(score)


def logistic_all(task: Task) -> np.ndarray:
    """Logistic regression on the logarithms of all features, shrunk since they go together."""
    train, score = _filled(task.train), _filled(task.score)
    return LinearReasons.fit(train, labels(task.train), strength=0.02).probability(score)


def bg_nbd(task: Task) -> np.ndarray:
    """BG/NBD's probability of no purchase; learns from purchases up to the day of scoring."""
    return _bg_nbd(task.score, task.horizon_days, task.known)


def random_forest(task: Task) -> np.ndarray:
    """Random forest on all features. Classes aren't balanced: that would spoil probabilities."""
    train = thinned(task.train, MAX_TRAIN)
    forest = RandomForestClassifier(
        n_estimators=TREES,
        min_samples_leaf=20,
        max_features=0.3,
        max_samples=0.5,
        random_state=SEED,
        n_jobs=1,
    ).fit(_filled(train), labels(train))
    return forest.predict_proba(_filled(task.score))[:, 1]


def hist_gb(task: Task) -> np.ndarray:
    """Histogram gradient boosting on all features, with small trees: the signal is smooth."""
    rows = thinned(task.train, MAX_TRAIN)
    train, score = matrix(rows), matrix(task.score)
    known = [i for i in range(train.shape[1]) if np.isfinite(train[:, i]).any()]
    model = HistGradientBoostingClassifier(
        learning_rate=0.08,
        max_iter=60,
        max_leaf_nodes=6,
        min_samples_leaf=MIN_LEAF,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=SEED,
    )
    model.fit(train[:, known], labels(rows))
    return model.predict_proba(score[:, known])[:, 1]


BASELINE = "logistic"

BASE_MODELS: Mapping[str, Model] = {
    "base_rate": base_rate,
    "logistic": logistic,
    "logistic_all": logistic_all,
    "bg_nbd": bg_nbd,
    "random_forest": random_forest,
    "hist_gb": hist_gb,
}
# one member knows the process and no label, the others know labels and no process
ENSEMBLES: Mapping[str, tuple[str, ...]] = {
    "blend": ("bg_nbd", "hist_gb"),
    "blend_all": ("bg_nbd", "hist_gb", "logistic_all", "random_forest"),
}
SEASONAL: Mapping[str, str] = {"blend_season": "blend"}


def predict_all(task: Task, failures: Failures | None = None) -> dict[str, np.ndarray]:
    """Churn probabilities of every model that the data allow, each of shape (len(score),).

    Args:
        task: what models may see.
        failures: takes what models raise.
    """
    failures, predictions = failures or Failures(), {}
    for name, model in BASE_MODELS.items():
        with failures.leave_out(name), suppress(NotFittedError):
            predictions[name] = np.clip(finite(model(task)), _CLIP, 1 - _CLIP)
    for name, members in ENSEMBLES.items():
        if all(member in predictions for member in members):
            predictions[name] = np.mean([predictions[member] for member in members], axis=0)
    for name, member in SEASONAL.items():
        if task.season_log_odds is not None and member in predictions:
            predictions[name] = expit(logit(predictions[member]) + task.season_log_odds)
    return predictions


def predict(name: str, task: Task) -> np.ndarray:
    """Churn probabilities of one model, shape (len(score),); as those of `predict_all`.

    Raises:
        NotFittedError: the data do not allow it.
    """
    if name in SEASONAL:
        if task.season_log_odds is None:
            raise NotFittedError("the same days a year ago are not known")
        return expit(logit(predict(SEASONAL[name], task)) + task.season_log_odds)
    if name in ENSEMBLES:
        return np.mean([predict(member, task) for member in ENSEMBLES[name]], axis=0)
    return np.clip(finite(BASE_MODELS[name](task)), _CLIP, 1 - _CLIP)


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


def _filled(frame: pd.DataFrame) -> np.ndarray:
    """Logarithms of `matrix`; what is undefined lies apart, below 0, shape (n, features)."""
    return np.log1p(np.maximum(np.nan_to_num(matrix(frame), nan=-0.5), -0.5))


def _bg_nbd(
    frame: pd.DataFrame, horizon_days: int, known: pd.DataFrame | None = None
) -> np.ndarray:
    summary = purchase_summary(frame)
    fitted = bgnbd.fit(*(summary if known is None else purchase_summary(known)))
    return fitted.p_no_purchase(*summary, horizon_days)


def _season(history: History, horizon_days: int) -> float | None:
    """Log odds of the churn of the same days a year ago, less those that BG/NBD expected.

    BG/NBD knows no season, so what it missed then is what it will miss now.
    """
    date = history.as_of - _WEEKS_52
    is_over = date + pd.Timedelta(days=horizon_days) <= history.as_of
    if not is_over or (date - history.first_day).days < MIN_SEASON_HISTORY_DAYS:
        return None
    frame = labelled(history, date, horizon_days)
    try:
        expected = _bg_nbd(frame, horizon_days).mean()
    except NotFittedError:
        return None
    rate = frame["is_churned"].mean()
    rate, expected = np.clip([rate, expected], _CLIP, 1 - _CLIP)
    return float(logit(rate) - logit(expected))


@dataclass(frozen=True)
class LinearReasons:
    """Logistic regression on standardised columns, so that contributions can be compared."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    intercept: float

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray, strength: float = 1.0) -> LinearReasons:
        """Fit to x, shape (n, k), and labels 0 or 1, shape (n,); less strength, smaller weights."""
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        model = LogisticRegression(C=strength, max_iter=1000).fit((x - mean) / deviation, y)
        return cls(mean, deviation, model.coef_[0], float(model.intercept_[0]))

    def probability(self, x: np.ndarray) -> np.ndarray:
        """Probability of label 1, shape (n,)."""
        return expit(self.contributions(x).sum(axis=1) + self.intercept)

    def contributions(self, x: np.ndarray) -> np.ndarray:
        """Log odds that each column adds against the average customer: exact, shape (n, k)."""
        return (x - self.mean) / self.deviation * self.weights
