"""Was a run right? Measured once the days that its scores spoke of are over.

Each function takes what a run said and what then happened, and measures both the run and a
trivial baseline on the same outcomes. A run is degraded where its loss is above the baseline's by
more than chance: a one-sided paired test over the cases, as single bad weeks prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from ml import evaluation

# of runs no worse than their baseline, the share that would be called degraded
CHANCE = 0.05
# below these a mean says nothing
MIN_CUSTOMERS = 100
MIN_DAYS = 28
FORECAST_HORIZONS = ((1, 30), (31, 90))


@dataclass(frozen=True)
class Outcome:
    """One measure of a run beside its baseline's on the same cases.

    Attributes:
        series: as in the run's metrics.
        horizon: days ahead.
        value: of the run.
        baseline: of the trivial baseline; NaN where it has none.
        n: cases.
        is_degraded: worse than the baseline beyond chance; only of the measure that decides.
    """

    series: str
    horizon: str
    metric: str
    value: float
    baseline: float
    n: int
    is_degraded: bool = False


def churn(scores: pd.DataFrame, known_rate: float) -> list[Outcome]:
    """Churn probabilities against who then bought nothing.

    Baselines: the rate that was known when the scores were made (Brier score), and how long ago
    the last order was (AUC).

    Args:
        scores: one row per scored customer: horizon_days, churn_probability, recency_days as of
            the run, is_churned as it turned out.
        known_rate: share of churned customers in the run's backtest.
    """
    if len(scores) < MIN_CUSTOMERS:
        return []
    outcome = scores["is_churned"].to_numpy(bool).astype(float)
    probability = scores["churn_probability"].to_numpy(float)
    horizon, n = str(int(scores["horizon_days"].iloc[0])), len(scores)
    constant = np.full(n, known_rate)
    worse = is_worse((probability - outcome) ** 2, (constant - outcome) ** 2)
    ece = evaluation.expected_calibration_error
    measures = [
        ("brier", evaluation.brier(outcome, probability), evaluation.brier(outcome, constant)),
        (
            "roc_auc",
            evaluation.roc_auc(outcome, probability),
            evaluation.roc_auc(outcome, scores["recency_days"].to_numpy(float)),
        ),
        ("ece", ece(outcome, probability), ece(outcome, constant)),
        ("churn_rate", float(outcome.mean()), known_rate),
    ]
    return [
        Outcome("customers", horizon, metric, value, baseline, n, metric == "brier" and worse)
        for metric, value, baseline in measures
    ]


def forecasts(rows: pd.DataFrame) -> list[Outcome]:
    """Forecasts of days against what was then sold, by series and horizon.

    Args:
        rows: one row per series, model and day that is over: series, is_champion, horizon_days,
            yhat, lo80, hi80, lo95, hi95, actual. The rows that are not the champion's are the
            baseline's; without them the champion is the baseline.
    """
    found = []
    for series, part in rows.groupby("series", sort=True):
        for first, last in FORECAST_HORIZONS:
            days = part[part["horizon_days"].between(first, last)]
            champion = days[days["is_champion"].astype(bool)].set_index("horizon_days")
            other = days[~days["is_champion"].astype(bool)].set_index("horizon_days")
            if len(champion) < last - first + 1 or len(champion) < MIN_DAYS:
                continue  # not over yet
            baseline = other.reindex(champion.index) if len(other) else champion
            found += _forecast(str(series), f"{first}-{last}", champion, baseline)
    return found


def _forecast(
    series: str, horizon: str, champion: pd.DataFrame, baseline: pd.DataFrame
) -> list[Outcome]:
    actual = champion["actual"].to_numpy(float)
    said, trivial = champion["yhat"].to_numpy(float), baseline["yhat"].to_numpy(float)
    worse = is_worse(np.abs(said - actual), np.abs(trivial - actual))
    found = [
        Outcome(
            series,
            horizon,
            metric,
            measure(actual, said),
            measure(actual, trivial),
            len(actual),
            metric == "wape" and worse,
        )
        for metric, measure in (
            ("wape", evaluation.wape),
            ("bias", evaluation.bias),
            ("mae", evaluation.mae),
        )
    ]
    for level in (80, 95):
        lower, upper = (champion[f"{side}{level}"].to_numpy(float) for side in ("lo", "hi"))
        if np.isfinite(lower).all() and np.isfinite(upper).all():
            covered = evaluation.coverage(actual, lower, upper)
            found.append(
                Outcome(series, horizon, f"coverage_{level}", covered, float("nan"), len(actual))
            )
    return found


def lifetime_value(scores: pd.DataFrame, horizon_days: int) -> list[Outcome]:
    """Predicted value against what was then bought.

    The baseline is what each customer bought in the 365 days before, scaled to the horizon.

    Args:
        scores: one row per customer: predicted, bought_before (of the 365 days before) and
            actual, in the store's currency.
        horizon_days: days that prediction and actual cover.
    """
    if len(scores) < MIN_CUSTOMERS:
        return []
    actual, said = scores["actual"].to_numpy(float), scores["predicted"].to_numpy(float)
    trivial = scores["bought_before"].to_numpy(float) * horizon_days / 365
    worse = is_worse(np.abs(said - actual), np.abs(trivial - actual))
    measures = (
        ("mae", evaluation.mae),
        ("bias", evaluation.bias),
        ("rank_correlation", _rank_correlation),
    )
    return [
        Outcome(
            "customers",
            str(horizon_days),
            metric,
            measure(actual, said),
            measure(actual, trivial),
            len(actual),
            metric == "mae" and worse,
        )
        for metric, measure in measures
    ]


def is_worse(loss: np.ndarray, baseline_loss: np.ndarray) -> bool:
    """Whether the mean loss is above the baseline's beyond chance: paired, one-sided."""
    difference = loss - baseline_loss
    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        return False
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    if error == 0:
        return bool(difference.mean() > 0)
    return bool(difference.mean() / error > norm.ppf(1 - CHANCE))


def _rank_correlation(actual: np.ndarray, said: np.ndarray) -> float:
    a, b = rankdata(actual), rankdata(said)
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
