"""Quantiles that have held: moved by as much as past lead times of the pattern lay beyond them.

A method's quantiles take its mean for sure and days for independent, so more lead times outlast
them than they say. Those that were over show by how much: split conformal quantiles (Romano,
Patterson & Candes 2019, "Conformalized Quantile Regression", NeurIPS 32), one-sided, and in units
of the root of the mean, as counts scatter, so that small and large products teach each other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.demand.methods import QUANTILES

NAMES = tuple(f"q{round(level * 100)}" for level in QUANTILES)
MIN_WINDOWS = 200  # past lead times of a pattern; the 98 % quantile of fewer is a handful's


def shift_of(past: pd.DataFrame) -> np.ndarray | None:
    """How far each quantile must move to have held.

    Args:
        past: of one pattern and method: actual, mean and `NAMES`, of lead times that are over.

    Returns:
        Shape (QUANTILES,), in units of the root of (mean + 1); None with fewer than `MIN_WINDOWS`.
    """
    n = len(past)
    if n < MIN_WINDOWS:
        return None
    missed = past["actual"].to_numpy()[:, None] - past[list(NAMES)].to_numpy()
    missed = np.sort(missed / np.sqrt(past["mean"].to_numpy() + 1)[:, None], axis=0)
    rank = np.minimum(np.ceil((n + 1) * np.array(QUANTILES)).astype(int), n) - 1
    return missed[rank, np.arange(len(QUANTILES))]


def moved(quantiles: np.ndarray, mean: np.ndarray, shift: np.ndarray | None) -> np.ndarray:
    """Quantiles after a shift: ascending, none below 0.

    Args:
        quantiles: shape (n, QUANTILES).
        mean: expected units, shape (n,).
        shift: see `shift_of`.
    """
    if shift is None:
        return quantiles
    found = quantiles + np.sqrt(mean + 1)[:, None] * shift[None, :]
    return np.maximum.accumulate(np.maximum(found, 0), axis=1)


def walked(windows: pd.DataFrame) -> pd.DataFrame:
    """A backtest with quantiles moved by what was over on each of its days.

    Args:
        windows: pattern, method, days_ago, over_days_ago (when its lead time had ended), actual,
            mean and `NAMES`.

    Returns:
        The same rows, with is_calibrated: whether enough was over for a shift.
    """
    result = windows.assign(is_calibrated=False)
    names = list(NAMES)
    for _, part in windows.groupby(["pattern", "method"], sort=True):
        for days_ago, now in part.groupby("days_ago"):
            shift = shift_of(part[part["over_days_ago"] >= days_ago])
            if shift is not None:
                mean = now["mean"].to_numpy()
                result.loc[now.index, names] = moved(now[names].to_numpy(), mean, shift)
                result.loc[now.index, "is_calibrated"] = True
    return result
