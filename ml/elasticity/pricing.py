"""The price that earns most, within what was charged before, and how sure that is.

Demand is taken as of constant elasticity e: units at price p are units now x (p / price now)^e. The
profit of a week is units x (p - unit cost). The elasticity is not known but distributed, so the
price is the one with the most expected profit, and it is advised only where profit rises at
(nearly) all elasticities that the data allow. Nothing is said beyond the prices that were seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

DRAWS = 199  # equally likely elasticities, by their quantiles: the same on every run
PRICES = 61
MIN_CHANGE = 0.01  # a smaller change of a price is none
SURE = 0.025  # advised where at most this share of the elasticities says that profit falls


@dataclass(frozen=True)
class Advice:
    """What to do with a product's price.

    Attributes:
        action: raise, lower, keep or none; none where nothing can be said.
        reason: in words, why.
        price, low, high: the advised price and the 95 % interval of the best one.
        gain, gain_low, gain_high: profit of a week against today's, with its 95 % interval.
    """

    action: str
    reason: str
    price: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    gain: float = float("nan")
    gain_low: float = float("nan")
    gain_high: float = float("nan")


def elasticities(mean: float, error: float) -> np.ndarray:
    """Equally likely values of a normal distribution, ascending, shape (`DRAWS`,)."""
    return mean + error * norm.ppf((np.arange(DRAWS) + 0.5) / DRAWS)


def advise(
    elasticity: float,
    error: float,
    *,
    price: float,
    unit_cost: float,
    units: float,
    lowest: float,
    highest: float,
) -> Advice:
    """Advice for one product.

    Args:
        elasticity, error: posterior mean and standard deviation.
        price: of today, above 0; same currency and tax treatment as the cost.
        unit_cost: NaN where unknown.
        units: of an ordinary week at today's price.
        lowest, highest: prices that were charged often enough to have been tried.
    """
    if not np.isfinite(unit_cost):
        return Advice("none", "the unit cost is not known")
    if not units > 0:
        return Advice("none", "nothing was sold lately")
    low, high = min(lowest, price), max(highest, price)
    if high / low < 1 + MIN_CHANGE:
        return Advice("none", "no other price was tried")
    tried = np.exp(np.linspace(np.log(low), np.log(high), PRICES))
    draws = elasticities(elasticity, error)
    profit = units * (tried / price) ** draws[:, None] * (tried - unit_cost)
    today = units * (price - unit_cost)
    best = int(profit.mean(axis=0).argmax())
    gain = profit[:, best] - today
    best_of_each = tried[profit.argmax(axis=1)]
    bounds = np.quantile(best_of_each, [0.025, 0.975])
    gains = np.quantile(gain, [0.025, 0.975])
    found = {
        "low": float(bounds[0]),
        "high": float(bounds[1]),
        "gain": float(gain.mean()),
        "gain_low": float(gains[0]),
        "gain_high": float(gains[1]),
    }
    change = tried[best] / price - 1
    if abs(change) < MIN_CHANGE:
        return Advice("keep", "today's price is the best of those tried", price=price, **found)
    if (gain <= 0).mean() > SURE:
        return Advice(
            "keep",
            f"{change:+.0%} would earn more on average, but profit may also fall",
            price=price,
            **found,
        )
    at_the_end = best in (0, PRICES - 1)
    reason = "the end of the prices tried so far" if at_the_end else "within the prices tried"
    return Advice("raise" if change > 0 else "lower", reason, price=float(tried[best]), **found)
