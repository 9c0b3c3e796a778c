"""Gamma-Gamma: what a customer spends per purchase, whatever their number of purchases.

A customer's purchases scatter around a mean of their own (gamma), and the means scatter over the
customers (gamma again), so that few purchases are drawn towards the shop's mean.

Source: Fader & Hardie 2013, "The Gamma-Gamma Model of Monetary Value", brucehardie.com/notes/025.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from ml.customers.bgnbd import MIN_REPEAT_CUSTOMERS, NotFittedError

_PENALTY = 1e-6  # keeps the parameters finite where everybody spends the same
_BOUNDS = (-6, 8)


@dataclass(frozen=True)
class GammaGamma:
    """Fitted parameters, q above 1; v in the unit of the money that was fitted."""

    p: float
    q: float
    v: float

    def expected(self, purchases: np.ndarray, mean_spend: np.ndarray) -> np.ndarray:
        """Expected spend of a further purchase, shape (n,); arguments as in `fit`."""
        total = self.p * (self.v + purchases * mean_spend)
        return total / (self.p * purchases + self.q - 1)


def fit(purchases: np.ndarray, mean_spend: np.ndarray, least: int = 2) -> GammaGamma:
    """Fit by maximum likelihood to customers with at least `least` purchases.

    Who came once is left out: the model wants spend that doesn't go with the number of purchases,
    and one-time buyers are where it does.

    Args:
        purchases: number of purchases that the mean is of, shape (n,).
        mean_spend: their mean, shape (n,); customers with none above 0 are left out.
        least: 1 where `purchases` leaves the first one out, as in the paper.

    Raises:
        NotFittedError: fewer than `bgnbd.MIN_REPEAT_CUSTOMERS` such customers, or no optimum.
    """
    known = (purchases >= least) & (mean_spend > 0)
    if known.sum() < MIN_REPEAT_CUSTOMERS:
        raise NotFittedError(
            f"{int(known.sum())} customers bought again, {MIN_REPEAT_CUSTOMERS} are needed"
        )
    n = purchases[known].astype(float)
    scale = float(np.median(mean_spend[known]))  # amounts of yen and of pounds fit alike
    spend = mean_spend[known] / scale
    log_spend, log_n = np.log(spend), np.log(n)

    def objective(theta: np.ndarray) -> float:
        p, v = np.exp(theta[[0, 2]])
        q = 1 + np.exp(theta[1])  # up to 1 the mean of the customers' means is infinite
        likelihood = (
            gammaln(p * n + q) - gammaln(p * n) - gammaln(q)
            + q * np.log(v) + (p * n - 1) * log_spend + p * n * log_n
            - (p * n + q) * np.log(n * spend + v)
        )  # fmt: skip
        return -float(likelihood.mean()) + _PENALTY * float((theta**2).sum())

    found = minimize(objective, np.log([2.0, 3.0, 2.0]), method="L-BFGS-B", bounds=[_BOUNDS] * 3)
    if not np.isfinite(found.fun):
        raise NotFittedError("the likelihood of the spend has no finite optimum")
    p, q, v = np.exp(found.x)
    return GammaGamma(float(p), 1 + float(q), float(v * scale))
