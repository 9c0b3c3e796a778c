"""Estimators of the price elasticity: change of demand in percent for one percent of price.

Both hold what a product sells at all times and what every product sells in a week (season, shop,
campaigns) constant, so only a product's price against its own other weeks, beside other products of
the same week, says anything.

- `log_log`: ordinary least squares of log units on log price, weeks with a sale. It is right where
  products sell every week; where they often don't, it looks only at the weeks with luck, and the
  elasticity comes out too small.
- `poisson`: Poisson pseudo-maximum likelihood of units on log price over all weeks from a product's
  first to its last sale (Santos Silva & Tenreyro 2006, Review of Economics and Statistics 88), by
  reweighted least squares. Weeks without a sale count; the price is that of the last sale.

Where lines were marked down, the markdown is held constant too, with a slope of its own for all
products: an offer that ends draws purchases forward, a price that stays doesn't.

Effects are swept out by alternating weighted means (Guimaraes & Portugal 2010, Stata Journal 10).
Slopes of single products follow from the pooled fit by one Newton step each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.elasticity.panel import Panel

ESTIMATORS = ("log_log", "poisson")
MIN_MARKED = 0.01  # share of sales weeks with a markdown; below, its slope is noise
MAX_STEPS = 30
MAX_SWEEPS = 100
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Slopes:
    """Elasticities of the pool and of single products.

    Attributes:
        pooled, pooled_error: one slope for all, its standard error clustered by product.
        markdown, markdown_error: slope of log(1 - markdown), NaN where nothing was marked down.
        slope, variance: of each product, shape (products,); raw, for shrinkage only.
    """

    pooled: float
    pooled_error: float
    markdown: float
    markdown_error: float
    slope: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True)
class _Fit:
    """Weighted least squares with both effects swept out; `x` has shape (cells, regressors)."""

    coefficients: np.ndarray
    x: np.ndarray
    residual: np.ndarray
    weight: np.ndarray

    def covariance(self, cluster: np.ndarray) -> np.ndarray:
        """Sandwich, clustered (Liang & Zeger 1986, Biometrika 73)."""
        bread = np.linalg.inv(self.x.T @ (self.x * self.weight[:, None]))
        scores = self.x * (self.weight * self.residual)[:, None]
        meat = np.column_stack([np.bincount(cluster, column) for column in scores.T])
        clusters = len(np.unique(cluster))
        return bread @ (meat.T @ meat) @ bread * clusters / max(1, clusters - 1)


def slopes(panel: Panel, products: np.ndarray, estimator: str) -> Slopes:
    """Elasticities of the products with these rows in the panel, in their order.

    Args:
        panel: weeks to learn from.
        products: rows of the panel; each has several prices.
        estimator: one of `ESTIMATORS`.
    """
    owner, week = _cells(panel, products, estimator)
    rows = products[owner]
    columns = [panel.price[rows, week]]
    marked = panel.markdown[rows, week]
    if (marked[panel.sold[rows, week]] < 0).mean() > MIN_MARKED:
        columns.append(marked)
    fit = _solve(panel.units[rows, week], np.column_stack(columns), owner, week, estimator)
    error = np.sqrt(np.diag(fit.covariance(owner)))
    x, weight = fit.x[:, 0], fit.weight
    information = np.bincount(owner, weight * x * x, minlength=len(products))
    information = np.maximum(information, 1e-12)
    step = np.bincount(owner, weight * x * fit.residual, minlength=len(products)) / information
    own = fit.residual - step[owner] * x
    count = np.bincount(owner, minlength=len(products))
    spare = np.maximum(count - 2, 1)
    # the larger of the robust and the classical variance: either is too small by chance at times
    robust = np.bincount(owner, (weight * x * own) ** 2, minlength=len(products)) / information**2
    classic = np.bincount(owner, weight * own**2, minlength=len(products)) / spare / information
    return Slopes(
        pooled=float(fit.coefficients[0]),
        pooled_error=float(error[0]),
        markdown=float(fit.coefficients[1]) if len(error) > 1 else float("nan"),
        markdown_error=float(error[1]) if len(error) > 1 else float("nan"),
        slope=fit.coefficients[0] + step,
        variance=np.maximum(robust * count / spare, classic),
    )


def placebo(panel: Panel, products: np.ndarray, estimator: str) -> tuple[float, float]:
    """What next week's price "does" to this week's demand, beside this week's: slope and error.

    It can do nothing. A slope far from 0 says that prices follow demand, or that something else
    moves both, and that the elasticity is no pure effect of the price.
    """
    owner, week = _cells(panel, products, estimator)
    rows = products[owner]
    weeks = panel.price.shape[1]
    follows = week + 1 < weeks
    follows &= panel.sold[rows, np.minimum(week + 1, weeks - 1)]
    owner, week, rows = owner[follows], week[follows], rows[follows]
    x = np.column_stack([panel.price[rows, week], panel.price[rows, week + 1]])
    fit = _solve(panel.units[rows, week], x, owner, week, estimator)
    error = np.sqrt(np.diag(fit.covariance(owner)))
    return float(fit.coefficients[1]), float(error[1])


def _cells(panel: Panel, products: np.ndarray, estimator: str) -> tuple[np.ndarray, np.ndarray]:
    used = panel.sold if estimator == "log_log" else panel.alive
    return np.nonzero(used[products])


def _solve(
    units: np.ndarray, x: np.ndarray, owner: np.ndarray, week: np.ndarray, estimator: str
) -> _Fit:
    if estimator == "log_log":
        return _least_squares(np.log(units), x, np.ones(len(units)), owner, week)
    # a week in which none of these sold has no level to compare with
    total = np.bincount(week, units)
    kept = total[week] > 0
    fit = _poisson(units[kept], x[kept], owner[kept], week[kept])
    if kept.all():
        return fit
    wide = np.zeros((len(units), x.shape[1]))
    residual, weight = np.zeros(len(units)), np.zeros(len(units))
    wide[kept], residual[kept], weight[kept] = fit.x, fit.residual, fit.weight
    return _Fit(fit.coefficients, wide, residual, weight)


def _poisson(units: np.ndarray, x: np.ndarray, owner: np.ndarray, week: np.ndarray) -> _Fit:
    mean = (units + units.mean()) / 2
    before = np.zeros(x.shape[1])
    for _ in range(MAX_STEPS):
        working = np.log(mean) + (units - mean) / mean
        fit = _least_squares(working, x, mean, owner, week)
        mean = np.exp(np.clip(working - fit.residual, -20.0, 20.0))
        if np.abs(fit.coefficients - before).max() < TOLERANCE * 10:
            break
        before = fit.coefficients
    return _Fit(fit.coefficients, fit.x, (units - mean) / mean, mean)


def _least_squares(
    y: np.ndarray, x: np.ndarray, weight: np.ndarray, owner: np.ndarray, week: np.ndarray
) -> _Fit:
    swept_x = np.column_stack([_swept(column, weight, owner, week) for column in x.T])
    swept_y = _swept(y, weight, owner, week)
    weighted = swept_x * weight[:, None]
    coefficients = np.linalg.lstsq(weighted.T @ swept_x, weighted.T @ swept_y, rcond=None)[0]
    return _Fit(coefficients, swept_x, swept_y - swept_x @ coefficients, weight)


def _swept(
    values: np.ndarray, weight: np.ndarray, owner: np.ndarray, week: np.ndarray
) -> np.ndarray:
    """Values less the weighted means of owners and weeks, alternately until nothing is left."""
    values = values.copy()
    per_owner = np.maximum(np.bincount(owner, weight), 1e-12)
    per_week = np.maximum(np.bincount(week, weight), 1e-12)
    for _ in range(MAX_SWEEPS):
        values -= (np.bincount(owner, weight * values) / per_owner)[owner]
        rest = np.bincount(week, weight * values) / per_week
        values -= rest[week]
        if np.abs(rest).max(initial=0) < TOLERANCE:
            break
    return values
