"""Residuals of daily logarithms against level and weekday, and one score out of several of them.

All series are of the days on which the shop was not closed, in order; a level counts such days.
A day never explains itself: it is left out of its own level, else a single odd day would pull the
level towards itself and hide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.ensemble import IsolationForest
from statsmodels.tsa.seasonal import STL

SEED = 20240229
HALF_WINDOW = 12  # open days on either side: two weeks of a shop that opens on six days
KERNEL_DAYS = 5.0  # standard deviation of the Gaussian weights; half a window reaches their end
TRAILING_DAYS = 4.0  # the weight of a day falls by e in so many days
CLIP = 2.5  # robust standard deviations beyond which a day moves levels and weights no further
TREES = 30

Residuals = Callable[[np.ndarray, np.ndarray], np.ndarray]


def centred_median(logs: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """Residuals against the median of the days around and the median of the weekday.

    Args:
        logs: of one metric, shape (n,).
        weekday: Monday is 0, shape (n,).

    Returns:
        Shape (n,).
    """
    return _alternate(logs, weekday, lambda x: _median_around(x, HALF_WINDOW, HALF_WINDOW))


def centred_kernel(logs: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """As `centred_median`, with the mean of clipped days by Gaussian weights as the level.

    It follows a season's ramps more closely than a median does.
    """
    reach = 4 * round(KERNEL_DAYS)
    offset = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offset / KERNEL_DAYS) ** 2) * (offset != 0)
    return _clipped(logs, weekday, weights)


def trailing_median(logs: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """As `centred_median`, of the days before only: for days whose future is still to come."""
    return _alternate(logs, weekday, lambda x: _median_around(x, 2 * HALF_WINDOW, 0))


def trailing_kernel(logs: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """As `centred_kernel`, of the days before only, with weights that fall exponentially."""
    reach = 8 * round(TRAILING_DAYS)
    offset = np.arange(-reach, reach + 1)
    weights = np.where(offset < 0, np.exp(np.minimum(offset, 0) / TRAILING_DAYS), 0.0)
    return _clipped(logs, weekday, weights)


def seasonal_trend(logs: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    """Residuals of a robust STL whose season is the week of open days.

    Source: Cleveland et al. 1990, Journal of Official Statistics 6. Falls back to the kernel
    where the shop opens on one weekday only: there is no week.
    """
    # a weekday on which the shop opened once in a year is none of its week
    days = np.bincount(weekday, minlength=7)
    period = int((days > days.max() / 2).sum())
    if period < 2 or len(logs) < 4 * period:
        return centred_kernel(logs, weekday)
    return np.asarray(STL(logs, period=period, robust=True).fit().resid)


def robust_sd(values: np.ndarray) -> float:
    """Standard deviation of a normal sample of this median absolute deviation; never 0."""
    deviation = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return deviation or float(values.std()) or 1.0


def mean_z(residuals: np.ndarray) -> np.ndarray:
    """Mean over the metrics of the signed residual in robust standard deviations.

    Args:
        residuals: shape (n, metrics).

    Returns:
        Shape (n,), scaled to a robust standard deviation of 1; below 0 is too little.
    """
    scales = np.array([robust_sd(column) for column in residuals.T])
    return _scaled((residuals / scales).mean(axis=1))


def common_factor(residuals: np.ndarray) -> np.ndarray:
    """The factor by which all metrics of the day were off, weighted by generalised least squares.

    What strikes a whole shop moves all metrics by about one factor: the weights S^-1 1 of their
    robust covariance S estimate it with the least variance, so that a quiet metric (orders)
    counts more than a noisy one (revenue). Weights are not below 0: a difference of metrics is
    no measure of size.
    """
    scales = np.array([robust_sd(column) for column in residuals.T])
    clipped = np.clip(residuals, -CLIP * scales, CLIP * scales)
    covariance = np.atleast_2d(np.cov(clipped.T))
    ridge = 1e-3 * np.trace(covariance) / len(covariance)
    weights = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), np.ones(len(scales)))
    weights = np.clip(weights, 0, None)
    return _scaled(residuals @ (weights / weights.sum()))


def forest(residuals: np.ndarray) -> np.ndarray:
    """Isolation forest on the residuals; the sign is that of the mean z.

    Source: Liu, Ting & Zhou 2008. A forest knows no direction, so unlike the others it also sees
    metrics that part from each other.
    """
    model = IsolationForest(n_estimators=TREES, random_state=SEED, n_jobs=1)
    scales = np.array([robust_sd(column) for column in residuals.T])
    depth = -model.fit(residuals / scales).score_samples(residuals / scales)
    size = (depth - np.median(depth)).clip(min=0)
    spread = float(np.quantile(size, 0.75)) or 1.0
    return np.where(mean_z(residuals) < 0, -1.0, 1.0) * size / spread


def _scaled(score: np.ndarray) -> np.ndarray:
    return score / robust_sd(score)


def _alternate(
    logs: np.ndarray, weekday: np.ndarray, level_of: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Level and weekday in turn: twice is enough, a third round moves nothing."""
    by_weekday = np.zeros(len(logs))
    level = logs
    for _ in range(2):
        level = level_of(logs - by_weekday)
        by_weekday = _weekday_median(logs - level, weekday)
    return logs - level - by_weekday


def _clipped(logs: np.ndarray, weekday: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean as level, of days clipped to `CLIP` deviations; three rounds.

    Args:
        weights: of the days from -reach to +reach around, shape (2 * reach + 1,).
    """
    reach, n = len(weights) // 2, len(logs)
    backwards = weights[::-1]  # a convolution turns them round again
    total = np.convolve(np.ones(n), backwards)[reach : reach + n]
    by_weekday, clipped = np.zeros(n), logs
    level = np.full(n, float(np.median(logs)))
    for _ in range(3):
        known = clipped - by_weekday
        summed = np.convolve(known, backwards)[reach : reach + n]
        level = np.divide(summed, total, out=np.full(n, np.median(known)), where=total > 0)
        by_weekday = _weekday_median(logs - level, weekday)
        residual = logs - level - by_weekday
        most = CLIP * robust_sd(residual)
        clipped = level + by_weekday + np.clip(residual, -most, most)
    return logs - level - by_weekday


def _median_around(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """Median of so many days before and after each, without the day; of fewer at the ends."""
    padded = np.concatenate([np.full(before, np.nan), values, np.full(after, np.nan)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, before + after + 1)
    others = np.delete(windows, before, axis=1)
    found = np.median(others, axis=1)  # NaN at the ends: `nanmedian` of all takes ten times as long
    for day in np.flatnonzero(np.isnan(found)):
        known = others[day][~np.isnan(others[day])]
        found[day] = np.median(known) if len(known) else np.median(values)
    return np.asarray(found)


def _weekday_median(values: np.ndarray, weekday: np.ndarray) -> np.ndarray:
    found = np.zeros(len(values))
    for day in np.unique(weekday):
        found[weekday == day] = np.median(values[weekday == day])
    return found
