"""Measures of forecast and classification quality, each by its textbook definition.

Arrays are one-dimensional and of one length unless stated; the unit of an error is the unit of
the series. A measure that is undefined on its input (no actuals, one class only) is NaN: it is
never replaced by a flattering number.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

Z95 = 1.959964  # half the width of a 95 % interval in standard errors of a normal distribution


def finite(predicted: np.ndarray) -> np.ndarray:
    """The predictions as they are.

    Raises:
        ValueError: one is NaN or infinite, which nothing that is measured or written may be.
    """
    wrong = int((~np.isfinite(predicted)).sum())
    if wrong:
        raise ValueError(f"{wrong} of {predicted.size} predictions are not finite")
    return predicted


def mae(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean absolute error."""
    return _mean(np.abs(forecast - actual))


def rmse(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Root mean squared error."""
    return float(np.sqrt(_mean((forecast - actual) ** 2)))


def r2(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Coefficient of determination; NaN where the actuals don't vary."""
    if not len(actual):
        return float("nan")
    total = float(((actual - actual.mean()) ** 2).sum())
    return 1 - float(((actual - forecast) ** 2).sum()) / total if total > 0 else float("nan")


def mape(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean absolute percentage error over the days with an actual above 0, as a fraction.

    It explodes near 0, so it is reported and never decided by.
    """
    known = actual > 0
    return _mean(np.abs(forecast[known] - actual[known]) / actual[known])


def wape(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Sum of absolute errors over the sum of absolute actuals, as a fraction."""
    total = float(np.abs(actual).sum())
    return float(np.abs(forecast - actual).sum()) / total if total > 0 else float("nan")


def bias(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Sum of (forecast - actual) over the sum of absolute actuals: above 0 is too high."""
    total = float(np.abs(actual).sum())
    return float((forecast - actual).sum()) / total if total > 0 else float("nan")


def naive_scale(history: np.ndarray, season: int = 7) -> float:
    """Mean absolute difference to the value one season earlier: MASE's denominator.

    Source: Hyndman & Koehler 2006, International Journal of Forecasting 22.
    """
    return _mean(np.abs(history[season:] - history[:-season]))


def mase(actual: np.ndarray, forecast: np.ndarray, scale: float) -> float:
    """Mean absolute error over `naive_scale` of the training history."""
    return mae(actual, forecast) / scale if scale > 0 else float("nan")


def coverage(actual: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Share of actuals within their interval, bounds included."""
    return _mean((actual >= lower) & (actual <= upper))


def winkler(actual: np.ndarray, lower: np.ndarray, upper: np.ndarray, level: float) -> float:
    """Mean Winkler (interval) score at `level`, e.g. 0.95: width plus a fine for each miss.

    Source: Winkler 1972, Journal of the American Statistical Association 67.
    """
    fine = 2 / (1 - level)
    below, above = np.maximum(lower - actual, 0), np.maximum(actual - upper, 0)
    return _mean(upper - lower + fine * (below + above))


def roc_auc(outcome: np.ndarray, score: np.ndarray) -> float:
    """Probability that a positive outranks a negative; ties count half."""
    positive = outcome.astype(bool)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    rank_sum = rankdata(score)[positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def pr_auc(outcome: np.ndarray, score: np.ndarray) -> float:
    """Average precision: precision at each distinct score, weighted by the recall it adds."""
    positive = outcome.astype(bool)
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_ties = np.append(np.diff(score[order]) != 0, True)
    hits, drawn = hits[last_of_ties], np.flatnonzero(last_of_ties) + 1
    gained = np.diff(np.concatenate([[0], hits]))
    return float((hits / drawn * gained).sum() / positive.sum())


def brier(outcome: np.ndarray, probability: np.ndarray) -> float:
    """Mean squared difference of probability and outcome (0 or 1)."""
    return _mean((probability - outcome) ** 2)


def expected_calibration_error(
    outcome: np.ndarray, probability: np.ndarray, bins: int = 10
) -> float:
    """Mean gap of predicted and observed rate over equally wide bins, weighted by their size."""
    if not len(outcome):
        return float("nan")
    bin_of = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = [
        abs(probability[bin_of == b].sum() - outcome[bin_of == b].sum()) for b in np.unique(bin_of)
    ]
    return float(sum(gaps) / len(outcome))


def lift(outcome: np.ndarray, score: np.ndarray, share: float = 0.1) -> float:
    """Rate of positives among the `share` with the highest score, over the rate among all.

    Ties at the border count by their mean, so the order of rows doesn't matter.
    """
    n = len(outcome)
    if not n or not outcome.sum():
        return float("nan")
    size = max(1, round(n * share))
    border = np.sort(score)[::-1][size - 1]
    above, at = score > border, score == border
    hits = outcome[above].sum() + outcome[at].mean() * (size - above.sum())
    return float(hits / size / outcome.mean())


def confusion(outcome: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Accuracy, precision, recall and F1, and the four cells of the confusion matrix as shares.

    Precision is NaN where nothing is predicted, recall where nothing is there; F1 where either is.
    """
    actual, predicted = outcome.astype(bool), predicted.astype(bool)
    hit, false = _mean(actual & predicted), _mean(~actual & predicted)
    missed, right = _mean(actual & ~predicted), _mean(~actual & ~predicted)
    precision = hit / (hit + false) if hit + false > 0 else float("nan")
    recall = hit / (hit + missed) if hit + missed > 0 else float("nan")
    both = precision + recall
    return {
        "accuracy": hit + right,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / both if both > 0 else float("nan"),
        "true_positive": hit,
        "false_positive": false,
        "false_negative": missed,
        "true_negative": right,
    }


def gini(actual: np.ndarray, score: np.ndarray) -> float:
    """Gini of the actuals in the order of the score, over that in their own order: 1 is perfect.

    Actuals below 0 count as 0; ties share their mean rank, so the order of rows doesn't matter.
    Source: Wang, Liu & Miao 2019, "A Deep Probabilistic Model for Customer Lifetime Value
    Prediction", arXiv 1912.07753 (normalised Gini).
    """
    if not len(actual):
        return float("nan")
    worth = np.maximum(actual, 0)
    ranks, own = rankdata(score), rankdata(worth)
    best = float(((own - own.mean()) * worth).sum())
    return float(((ranks - ranks.mean()) * worth).sum()) / best if best > 0 else float("nan")


def poisson_deviance(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean Poisson deviance of amounts of at least 0; forecasts above 0.

    It is least for the mean, as the squared error is, but a few large customers don't decide it.
    Source: McCullagh & Nelder 1989, "Generalized Linear Models", 2.3; as in scikit-learn.
    """
    known = actual > 0
    relative = np.where(known, actual * np.log(np.where(known, actual, 1) / forecast), 0.0)
    return 2 * _mean(relative - actual + forecast)


def decile_error(actual: np.ndarray, score: np.ndarray) -> float:
    """Mean over the tenths by score of |mean score / mean actual - 1|; tenths with none are left
    out. Source as `gini`."""
    order = np.argsort(-score, kind="stable")
    errors = [
        abs(score[part].mean() / actual[part].mean() - 1)
        for part in np.array_split(order, 10)
        if len(part) and actual[part].mean() > 0
    ]
    return float(np.mean(errors)) if errors else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
