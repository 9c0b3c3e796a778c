"""Empirical Bayes: a product's noisy elasticity is drawn to its category's, that to the pool's.

Normal-normal model of two levels; the variances between products and between categories are those
at which the weighted squares are what they should be (Paule & Mandel 1982, Journal of Research of
the National Bureau of Standards 87). A product that says little by itself gets its category's
elasticity with a wide interval; one with many price changes keeps its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BISECTIONS = 60


@dataclass(frozen=True)
class Shrunk:
    """Posterior means and standard deviations, of the pool, of categories and of products."""

    pool: float
    pool_error: float
    category: np.ndarray
    category_error: np.ndarray
    product: np.ndarray
    product_error: np.ndarray


def shrink(slope: np.ndarray, variance: np.ndarray, category: np.ndarray) -> Shrunk:
    """Draw the slopes together.

    Args:
        slope, variance: of each product, shape (n,); variances above 0.
        category: code of each product's category, 0 ..; every code occurs.
    """
    between = paule_mandel(slope, variance, category)
    weight = 1 / (variance + between)
    total = np.bincount(category, weight)
    mean = np.bincount(category, weight * slope) / total
    one = np.zeros(len(mean), dtype=int)
    # a single category is the pool: nothing to draw it towards
    apart = paule_mandel(mean, 1 / total, one) if len(mean) > 1 else 0.0
    pool_weight = 1 / (1 / total + apart)
    pool = float(pool_weight @ mean / pool_weight.sum())
    pool_variance = 1 / float(pool_weight.sum())
    category_mean, category_variance = _posterior(mean, 1 / total, pool, apart, pool_variance)
    product_mean, product_variance = _posterior(
        slope, variance, category_mean[category], between, category_variance[category]
    )
    return Shrunk(
        pool=pool,
        pool_error=float(np.sqrt(pool_variance)),
        category=category_mean,
        category_error=np.sqrt(category_variance),
        product=product_mean,
        product_error=np.sqrt(product_variance),
    )


def paule_mandel(value: np.ndarray, variance: np.ndarray, group: np.ndarray) -> float:
    """Variance of the true values within groups; 0 where noise explains all the differences."""
    freedom = len(value) - len(np.unique(group))
    if freedom < 1:
        return 0.0

    def excess(between: float) -> float:
        weight = 1 / (variance + between)
        mean = np.bincount(group, weight * value) / np.bincount(group, weight)
        return float(weight @ (value - mean[group]) ** 2) - freedom

    low, high = 0.0, float(np.var(value)) * len(value) + 1.0
    if excess(low) <= 0:
        return 0.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2


def _posterior(
    value: np.ndarray,
    variance: np.ndarray,
    prior: np.ndarray | float,
    between: float,
    prior_variance: np.ndarray | float,
) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances; the prior's own uncertainty counts as far as it is relied on."""
    trust = between / (between + variance)
    mean = trust * value + (1 - trust) * prior
    return mean, trust * variance + (1 - trust) ** 2 * prior_variance
