"""Which model forecasts: the baseline, the default, or one that has shown to be better.

A mean of unlike models is hard to beat, and choosing the best of fifteen on a year of overlapping
origins flatters the lucky one: on *Online Retail II* the best of 2,516 combinations, picked on
early origins, was no better on late ones than the best single model. So the mean is the default,
and another model takes its place only by a lead that is more than noise.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml import evaluation
from ml.forecasting import backtest as backtests
from ml.forecasting import models
from ml.forecasting.intervals import MIN_TOTALS, TOTAL_WINDOWS, TotalSpread

DEFAULT = "ensemble"
WAPE_TIE = 0.004  # differences below this are noise on two years of daily data
# with fewer origins, 15 days apart, less than a quarter of days was forecast: nothing is chosen
MIN_ORIGINS_TO_CHOOSE = 6
MONTH_DAYS = 30


def choose(backtest: pd.DataFrame, is_mature: bool = False) -> str:
    """Name of the model for the next 90 days.

    Args:
        backtest: as `backtest.run` returns it.
        is_mature: whether a year of history stands behind the as-of date.

    Returns:
        A name by these rules, of which the first that applies decides:

        - A model beats the baseline's WAPE, or the baseline forecasts.
        - The default stays, unless the best is better by more than `WAPE_TIE` and by more than one
          standard error, over at least `MIN_ORIGINS_TO_CHOOSE` origins.
        - Where the default doesn't beat the baseline: the least WAPE; among models within
          `WAPE_TIE` of it the least RMSE, since averaging buys stability.

    A shop with a year behind it is judged by origins that had one too; while there are too few,
    what models without a yearly season did tells only whether the baseline was beaten.
    """
    if backtest.empty:
        return models.BASELINE
    near = backtest[backtest["days_ahead"] <= backtests.HORIZON_DAYS]
    alike = near[near["is_mature"] == is_mature] if "is_mature" in near else near
    few = alike["origin"].nunique() < MIN_ORIGINS_TO_CHOOSE
    near = backtests.finished(near if few else alike)
    # simplest first: of two that are equal, it wins
    scores = backtests.wapes(near).reindex([m for m in models.ALL if m in set(near["model"])])
    better = scores[scores < scores.get(models.BASELINE, np.inf)]
    if better.empty:
        return models.BASELINE
    if DEFAULT not in better:
        tied = better[better <= better.min() + WAPE_TIE]
        return str(_rmse(near).reindex(tied.index).idxmin())
    best = str(better.idxmin())
    if few or better[DEFAULT] - better[best] <= WAPE_TIE:
        return DEFAULT
    return best if _lead_is_sure(near, best) else DEFAULT


def choose_far(backtest: pd.DataFrame, near: str, non_negative: bool) -> str:
    """Name of the model for the days after the first 90, up to a year.

    What is best for 90 days, such as the level of the last four weeks, can be poor for a year: the
    model whose totals over the longest window were least off.
    """
    if backtest.empty:
        return near
    complete = set(backtests.finished(backtest)["model"])
    spreads = {
        model: total_spread(splice(backtest, near, model), non_negative)
        for model in dict.fromkeys((near, *models.ALL))
        if model in complete
    }
    known = {model: spread for model, spread in spreads.items() if spread}
    if not known:
        return near
    longest = max(spread.window for spread in known.values())
    if longest <= backtests.HORIZON_DAYS:
        return near  # no day beyond the first 90 was seen: nothing tells the models apart
    comparable = {m: spread.scale for m, spread in known.items() if spread.window == longest}
    return min(comparable, key=comparable.__getitem__)


def splice(backtest: pd.DataFrame, near: str, far: str) -> pd.DataFrame:
    """The rows of one model up to `HORIZON_DAYS` ahead, and of another beyond."""
    if backtest.empty:
        return backtest
    if near == far:
        return backtest[backtest["model"] == near]
    is_near = backtest["days_ahead"] <= backtests.HORIZON_DAYS
    return backtest[
        (is_near & (backtest["model"] == near)) | (~is_near & (backtest["model"] == far))
    ]


def total_spread(rows: pd.DataFrame, non_negative: bool) -> TotalSpread | None:
    """How far totals were off, over the longest window with enough origins.

    Args:
        rows: of one model: origin, days_ahead, actual, forecast.
        non_negative: whether errors are ratios.
    """
    if rows.empty:
        return None
    for window in TOTAL_WINDOWS:
        near = rows[rows["days_ahead"] <= window]
        off = _relative(near, near["origin"].to_numpy(), window, non_negative)
        if len(off) >= MIN_TOTALS:
            return TotalSpread(float(np.sqrt((off**2).mean())), len(off), window, non_negative)
    return None


def month_spread(rows: pd.DataFrame, non_negative: bool, far: bool) -> TotalSpread | None:
    """How far totals of 30 days were off: of those within 90 days, or of those beyond.

    Args:
        rows: as in `total_spread`.
        non_negative: whether errors are ratios.
        far: which of the two.
    """
    if rows.empty:
        return None
    is_far = rows["days_ahead"] > backtests.HORIZON_DAYS
    rows = rows[is_far if far else ~is_far]
    block = ((rows["days_ahead"] - 1) // MONTH_DAYS).to_numpy()
    group = rows["origin"].factorize()[0] * (backtests.YEAR_DAYS // MONTH_DAYS + 1) + block
    off = _relative(rows, group, MONTH_DAYS, non_negative)
    if len(off) < MIN_TOTALS:
        return None
    # blocks of one origin err together: the origins are what was seen
    seen = rows["origin"].nunique()
    return TotalSpread(float(np.sqrt((off**2).mean())), seen, MONTH_DAYS, non_negative)


def _relative(rows: pd.DataFrame, group: np.ndarray, days: int, non_negative: bool) -> np.ndarray:
    """Relative errors of the totals of each group that has all its days."""
    _, at, count = np.unique(group, return_inverse=True, return_counts=True)
    complete = count == days
    actual, forecast = (
        np.bincount(at, rows[name].to_numpy(), len(count))[complete]
        for name in ("actual", "forecast")
    )
    if non_negative:
        known = (actual > 0) & (forecast > 0)
        return np.log(actual[known] / forecast[known])
    known = forecast != 0
    return (actual[known] - forecast[known]) / np.abs(forecast[known])


def _rmse(near: pd.DataFrame) -> pd.Series:
    return near.groupby("model", observed=True)[["actual", "forecast"]].apply(
        lambda part: evaluation.rmse(part["actual"].to_numpy(), part["forecast"].to_numpy())
    )


def _lead_is_sure(near: pd.DataFrame, best: str) -> bool:
    """Whether the best model's lead over the default is more than its standard error.

    Origins less than a horizon apart forecast the same days: what counts is how many horizons
    they span.
    """
    off = near.assign(off=(near["forecast"] - near["actual"]).abs())
    by_origin = off.pivot_table(index="origin", columns="model", values="off", observed=True)
    lead = by_origin[DEFAULT] - by_origin[best]
    span = (lead.index[-1] - lead.index[0]).days + backtests.HORIZON_DAYS
    independent = min(len(lead), span / backtests.HORIZON_DAYS)
    return bool(lead.mean() > lead.std() / np.sqrt(independent))
