"""BG/NBD: how often a customer buys, and when they silently stop.

A customer buys at a rate of their own (gamma distributed) and drops out after each purchase with
a probability of their own (beta distributed). It needs no label, so it learns from all data up to
today.

Source: Fader, Hardie & Lee 2005, "Counting Your Customers the Easy Way", Marketing Science 24.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, hyp2f1

MIN_REPEAT_CUSTOMERS = 30
MOST_CUSTOMERS = 20_000  # four parameters don't get better by more
_TIME_UNIT_DAYS = 7.0  # days would make the likelihood badly scaled
_NEAR_ONE = 1e-6
_PENALTY = 1e-3  # keeps the parameters finite where everyone behaves alike


class NotFittedError(Exception):
    """The purchases don't identify the model; the message says why."""


@dataclass(frozen=True)
class BgNbd:
    """Fitted parameters: gamma (r, alpha in weeks) of the rate, beta (a, b) of dropping out."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float

    def p_alive(self, repeats: np.ndarray, last: np.ndarray, age: np.ndarray) -> np.ndarray:
        """Probability of not having dropped out, shape (n,). Arguments as in `fit`.

        It is 1 for one-time buyers, who had no occasion to drop out: no measure of churn.
        """
        last, age = last / _TIME_UNIT_DAYS, age / _TIME_UNIT_DAYS
        log_odds = (self.r + repeats) * np.log((self.alpha + age) / (self.alpha + last)) + np.log(
            self.a / (self.b + np.maximum(repeats, 1) - 1)
        )
        return np.where(repeats > 0, expit(-log_odds), 1.0)

    def p_no_purchase(
        self, repeats: np.ndarray, last: np.ndarray, age: np.ndarray, horizon_days: float
    ) -> np.ndarray:
        """Probability of no purchase in the next `horizon_days`, shape (n,); see `fit`."""
        weeks = age / _TIME_UNIT_DAYS
        silent_if_alive = (
            (self.alpha + weeks) / (self.alpha + weeks + horizon_days / _TIME_UNIT_DAYS)
        ) ** (self.r + repeats)
        return 1 - self.p_alive(repeats, last, age) * (1 - silent_if_alive)

    def expected_purchases(
        self, repeats: np.ndarray, last: np.ndarray, age: np.ndarray, horizon_days: float
    ) -> np.ndarray:
        """Expected purchase days in the next `horizon_days`, shape (n,); see `fit`.

        Equation 10 of the paper. Its hypergeometric function overflows for eager buyers, so it
        stands here after Euler's transformation, whose arguments don't grow with the purchases.
        """
        a = self.a if abs(self.a - 1) > _NEAR_ONE else 1 + _NEAR_ONE  # 0/0 at exactly 1
        weeks, ahead = age / _TIME_UNIT_DAYS, horizon_days / _TIME_UNIT_DAYS
        z = ahead / (self.alpha + weeks + ahead)
        still = (1 - z) ** (a - 1) * hyp2f1(
            a + self.b - 1 - self.r, a - 1, a + self.b + repeats - 1, z
        )
        if_alive = (a + self.b + repeats - 1) / (a - 1) * (1 - still)
        return if_alive * self.p_alive(repeats, last, age)


def fit(repeats: np.ndarray, last: np.ndarray, age: np.ndarray, penalty: float = _PENALTY) -> BgNbd:
    """Fit by maximum likelihood.

    Args:
        repeats: purchase days after the first, per customer, shape (n,).
        last: days from the first to the last purchase, 0 without repeats, shape (n,).
        age: days from the first purchase to the as-of date, shape (n,).
        penalty: weight of the parameters' squared logarithms, per customer.

    Raises:
        NotFittedError: fewer than `MIN_REPEAT_CUSTOMERS` customers bought again, or no optimum.
    """
    buyers_again = int((repeats > 0).sum())
    if buyers_again < MIN_REPEAT_CUSTOMERS:
        raise NotFittedError(
            f"{buyers_again} customers bought again, {MIN_REPEAT_CUSTOMERS} are needed"
        )
    # equal customers add equal terms: on a shop with many one-time buyers this is most of them
    rows = np.column_stack([repeats, last / _TIME_UNIT_DAYS, age / _TIME_UNIT_DAYS])
    if len(rows) > MOST_CUSTOMERS:
        # every n-th in the order of what they did: a sample of all kinds, whatever their order
        rows = rows[np.lexsort(rows.T)][:: -(-len(rows) // MOST_CUSTOMERS)]
    patterns, counts = np.unique(rows, axis=0, return_counts=True)
    x, t_x, t = patterns.T
    n = counts.sum()

    def objective(theta: np.ndarray) -> float:
        r, alpha, a, b = np.exp(theta)
        likelihood = _log_likelihood(r, alpha, a, b, x, t_x, t)
        return -(counts * likelihood).sum() / n + penalty * float((theta**2).sum())

    start = np.log([0.5, 10.0, 1.0, 2.5])
    found = minimize(objective, start, method="L-BFGS-B", bounds=[(-8, 8)] * 4)
    if not np.isfinite(found.fun):
        raise NotFittedError("the likelihood has no finite optimum")
    r, alpha, a, b = np.exp(found.x)
    likelihood = _log_likelihood(r, alpha, a, b, x, t_x, t)
    return BgNbd(float(r), float(alpha), float(a), float(b), float((counts * likelihood).sum()))


def _log_likelihood(
    r: float,
    alpha: float,
    a: float,
    b: float,
    x: np.ndarray,
    t_x: np.ndarray,
    t: np.ndarray,
) -> np.ndarray:
    """Log-likelihood per customer: equation 6 of the paper."""
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + t)
    dropped = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + t_x)
    return rate + np.where(x > 0, np.logaddexp(alive, dropped), alive)
