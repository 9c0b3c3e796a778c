"""Random Forest and gradient boosting on the ratio of a day to the level of the last 28 days.

Trees can't extrapolate, so they never see the series' own size: the target is the logarithm of the
day over the level at the origin (for a series that may be negative, the difference over its mean
size). They forecast each day directly, whatever the distance, from what was known at the origin:
the weekday and the season, the same days a year before over the level, and how the level moved.

The training rows stand on earlier origins of the same history, each with days that had come by the
last one. Sources: Breiman 2001, Machine Learning 45 (Random Forest); Ke et al. 2017, NeurIPS
(LightGBM); direct forecasts as in Ben Taieb et al. 2012, Expert Systems with Applications 39.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.forecasting.history import YEAR_DAYS, History

SEED = 20240229
LEVEL_DAYS = 28
# shorter and longer levels beside it: where it came from
OTHER_LEVELS = (7, 91)
SMOOTHING_DAYS = 21  # of a year ago: a single day there is as noisy as the day to come
MIN_DAYS = 120  # fewer give too few origins to learn from
ORIGIN_STEP_DAYS = 7  # closer origins repeat each other
# days ahead that are learned: dense where forecasts are read by the day
LEARNED_DAYS_AHEAD = np.unique(
    np.concatenate([np.arange(1, 31, 3), np.arange(31, 100, 6), np.arange(100, 380, 20)])
)


@dataclass(frozen=True)
class Signals:
    """Of each day of a history, what a forecast from that day may know; all (n,).

    Attributes:
        level: mean of the open days of the last `LEVEL_DAYS`, series' unit.
        others: the same over `OTHER_LEVELS`.
        smooth: centred mean of `SMOOTHING_DAYS`, adjusted for the weekday: read a year later only.
        profile: (7,) mean of each weekday over the mean of all.
        size: mean absolute value, by which a signed series is divided.
        logarithm: whether values are compared as ratios.
    """

    level: np.ndarray
    others: tuple[np.ndarray, ...]
    smooth: np.ndarray
    profile: np.ndarray
    size: float
    logarithm: bool

    def over(self, values: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Values over a level, on the scale that the trees learn."""
        return np.log(values / level) if self.logarithm else (values - level) / self.size


def random_forest(history: History, future: pd.DatetimeIndex) -> np.ndarray | None:
    """Random Forest; None with less history than `MIN_DAYS`."""
    from sklearn.ensemble import RandomForestRegressor

    return _forecast(
        history,
        future,
        RandomForestRegressor(
            n_estimators=60,
            min_samples_leaf=10,
            max_features=0.5,
            max_samples=0.5,
            random_state=SEED,
            n_jobs=1,
        ),
    )


def gradient_boosting(history: History, future: pd.DatetimeIndex) -> np.ndarray | None:
    """Gradient boosting (LightGBM); None with less history than `MIN_DAYS`."""
    from lightgbm import LGBMRegressor

    return _forecast(
        history,
        future,
        LGBMRegressor(
            n_estimators=120,
            learning_rate=0.05,
            num_leaves=12,
            min_child_samples=30,
            subsample=0.7,
            subsample_freq=1,
            colsample_bytree=0.7,
            reg_lambda=5.0,
            random_state=SEED,
            deterministic=True,
            force_row_wise=True,
            n_jobs=1,
            verbosity=-1,
        ),
    )


def _forecast(history: History, future: pd.DatetimeIndex, regressor: Any) -> np.ndarray | None:
    n = len(history.dates)
    if n < MIN_DAYS or history.used.sum() < MIN_DAYS / 2:
        return None
    signals = _signals(history)
    origins, targets = _training_pairs(history)
    if not len(origins):
        return None
    x = _features(signals, origins, targets, history.dates[targets])
    y = signals.over(history.values[targets], signals.level[origins])
    regressor.fit(x, y)
    fitted = regressor.predict(x)
    last = np.full(len(future), n - 1)
    ahead = n - 1 + (future - history.dates[-1]).days.to_numpy()
    ratio = regressor.predict(_features(signals, last, ahead, future))
    if not history.non_negative:
        return signals.level[-1] + ratio * signals.size
    # a mean, not a median: what the fit is short of in sum
    smearing = np.exp(y).mean() / np.exp(fitted).mean()
    return signals.level[-1] * np.exp(ratio) * smearing * history.scale.share_of_open_days


def _signals(history: History) -> Signals:
    used = history.used
    values = pd.Series(np.where(used, history.values, np.nan))
    weekday = history.dates.day_of_week.to_numpy()
    profile = np.ones(7)
    if history.non_negative:
        means = values.groupby(weekday).mean().reindex(range(7))
        profile = (means / np.nanmean(values)).fillna(1.0).to_numpy()
    adjusted = values / profile[weekday]

    def level(days: int) -> np.ndarray:
        return adjusted.rolling(days, min_periods=1).mean().ffill().bfill().to_numpy()

    smooth = adjusted.rolling(SMOOTHING_DAYS, center=True, min_periods=1).mean().ffill().bfill()
    return Signals(
        level=level(LEVEL_DAYS),
        others=tuple(level(days) for days in OTHER_LEVELS),
        smooth=smooth.to_numpy(),
        profile=profile,
        size=float(np.nanmean(np.abs(values))) or 1.0,
        logarithm=history.non_negative,
    )


def _training_pairs(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Positions of origins and of the days learned from them, both (rows,)."""
    n = len(history.dates)
    # with two years, each origin has a year before it to look at; with less, none has
    first = YEAR_DAYS + LEVEL_DAYS if n >= 2 * YEAR_DAYS - 2 * LEVEL_DAYS else LEVEL_DAYS
    origins = np.arange(n - 2, first - 1, -ORIGIN_STEP_DAYS)
    pairs = origins[:, None] + LEARNED_DAYS_AHEAD[None, :]
    origin = np.broadcast_to(origins[:, None], pairs.shape)
    known = (pairs < n) & history.used[np.minimum(pairs, n - 1)]
    return origin[known], pairs[known]


def _features(
    signals: Signals, origins: np.ndarray, targets: np.ndarray, dates: pd.DatetimeIndex
) -> np.ndarray:
    """(rows, features) of days `targets`, dated `dates`, as seen from `origins`.

    NaN where no year before was seen.
    """
    ahead = targets - origins
    level = signals.level[origins]
    years = np.maximum(1, -(-(ahead + SMOOTHING_DAYS // 2) // YEAR_DAYS))
    before = targets - years * YEAR_DAYS
    level_before = origins - years * YEAR_DAYS
    known, level_known = before >= 0, level_before >= LEVEL_DAYS
    year_ago = np.where(known, signals.smooth[np.maximum(before, 0)], np.nan)
    level_ago = np.where(level_known, signals.level[np.maximum(level_before, 0)], np.nan)
    angle = 2 * np.pi * dates.day_of_year.to_numpy() / 365.25
    return np.column_stack(
        [
            ahead,
            dates.day_of_week.to_numpy(),
            signals.profile[dates.day_of_week],
            np.sin(angle),
            np.cos(angle),
            signals.over(year_ago, level),
            signals.over(year_ago, level_ago),
            signals.over(level_ago, level),
            *(signals.over(other[origins], level) for other in signals.others),
        ]
    )
