"""Out-of-time comparison of the estimators with "the price has no effect".

From each origin, four weeks are foretold from what was known when they began. Two questions:

- `deviance_gain`: how a week's units are split over the products, weeks without a sale included
  (multinomial deviance, share of that without a price effect). It decides: an estimator that looks
  only at weeks with a sale must prove itself on the others too.
- `r2_gain`: log units in weeks with a sale, less the product's level so far and the week's common
  level: share of the squared error without a price effect that the price explains;
  `r2_gain_moved` of the weeks alone in which the price was not the product's usual one.

Both say 0 for no effect, and less than 0 for a harmful one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from ml import asof
from ml.elasticity import models, shrinkage
from ml.elasticity.panel import Panel, Rows

ORIGINS = 7
STEP_WEEKS = 4
LEVEL_WEEKS = 52  # a year of weeks: every season counts once in a product's level
RECENT_WEEKS = 13  # a product without a sale in them is gone, or nearly
MOVED = 0.03  # log price beyond which a price is not the usual one
BASELINE = "no_price_effect"
MAX_EFFECT = 3.0  # |elasticity x log price| is cut here: twenty times the demand is no forecast


def run(
    rows: Rows, category: np.ndarray, identified: Callable[[Panel], np.ndarray]
) -> pd.DataFrame:
    """Gains by model.

    Args:
        rows: of one buyer group.
        category: code of each product's category.
        identified: function of a panel, True per product whose elasticity can be told.

    Returns:
        model, metric, value, n; empty where the history has no room for an origin.
    """
    sums: dict[str, np.ndarray] = {}
    counts = np.zeros(3, dtype=int)
    last = len(rows.weeks)
    for origin in range(last - ORIGINS * STEP_WEEKS, last, STEP_WEEKS):
        if origin <= STEP_WEEKS:
            continue
        known = pd.DataFrame({"week_end": rows.week_end[:origin]})
        asof.require_past(known, ["week_end"], pd.Timestamp(rows.week_end[origin - 1]))
        panel = Panel.learn(rows, origin)
        products = np.flatnonzero(identified(panel))
        if len(products) < 2:
            continue
        ahead = panel.extended(rows, origin + STEP_WEEKS)
        errors, n = _errors(ahead, products, origin, _candidates(panel, products, category))
        counts += n
        for model, values in errors.items():
            sums[model] = sums.get(model, np.zeros(3)) + values
    if not counts[0] or not sums:
        return pd.DataFrame(columns=["model", "metric", "value", "n"])
    names = ("deviance_gain", "r2_gain", "r2_gain_moved")
    without = sums[BASELINE]
    return pd.DataFrame(
        [
            (model, name, 1 - values[k] / without[k] if without[k] > 0 else float("nan"), counts[k])
            for model, values in sums.items()
            for k, name in enumerate(names)
        ],
        columns=["model", "metric", "value", "n"],
    )


def _candidates(
    panel: Panel, products: np.ndarray, category: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Elasticity of each product by each model; the pooled ones beside the shrunk ones."""
    found = {BASELINE: np.zeros(len(products))}
    _, code = np.unique(category[products], return_inverse=True)
    for estimator in models.ESTIMATORS:
        raw = models.slopes(panel, products, estimator)
        found[estimator] = shrinkage.shrink(raw.slope, raw.variance, code).product
        found[f"{estimator}_pooled"] = np.full(len(products), raw.pooled)
        found[f"{estimator}_raw"] = raw.slope
    return found


def _errors(
    panel: Panel, products: np.ndarray, origin: int, candidates: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Deviance and squared errors (all, moved) of the weeks from the origin on; their counts."""
    units, price, sold = panel.units[products], panel.price[products], panel.sold[products]
    alive = panel.alive[products]
    past, usual = sold[:, :origin], _mean(price[:, :origin], sold[:, :origin])
    level = _mean(np.log(np.maximum(units[:, :origin], 1e-9)), past)
    x = price - usual[:, None]
    recent = np.flatnonzero(past[:, -RECENT_WEEKS:].any(axis=1))
    owner, week = np.nonzero(sold[:, origin:])
    y = _less_week(np.log(units[owner, origin + week]) - level[owner], week)
    move = x[owner, origin + week]
    moved = np.abs(move) > MOVED
    errors = {}
    for model, slope in candidates.items():
        effect = np.clip(slope[:, None] * x, -MAX_EFFECT, MAX_EFFECT)
        missed = (y - _less_week(effect[owner, origin + week], week)) ** 2
        errors[model] = np.array(
            [
                _split_deviance(units[recent], effect[recent], alive[recent], origin),
                missed.sum(),
                missed[moved].sum(),
            ]
        )
    cells = len(recent) * (units.shape[1] - origin)
    return errors, np.array([cells, len(y), int(moved.sum())])


def _split_deviance(units: np.ndarray, effect: np.ndarray, alive: np.ndarray, origin: int) -> float:
    """Multinomial deviance of how the weeks from the origin on are split over the products."""
    first = max(0, origin - LEVEL_WEEKS)
    lift = np.exp(effect)
    there = np.cumsum(alive, axis=1)[:, first:origin] > 0
    weight = (units[:, first:origin] * there).sum(axis=1) / np.maximum(
        (lift[:, first:origin] * there).sum(axis=1), 1e-9
    )
    expected = np.maximum(weight[:, None] * lift[:, origin:], 1e-9)
    actual = units[:, origin:]
    expected *= actual.sum(axis=0) / expected.sum(axis=0)
    known = actual > 0
    return float(2 * (actual[known] * np.log(actual[known] / expected[known])).sum())


def _mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.where(where, values, 0.0).sum(axis=1) / np.maximum(where.sum(axis=1), 1)


def _less_week(values: np.ndarray, week: np.ndarray) -> np.ndarray:
    count = np.maximum(np.bincount(week), 1)
    return values - (np.bincount(week, values) / count)[week]
