"""Orders unlike other orders, or unlike what their customer usually orders.

An order is compared in logarithms: amount, units, amount per unit, lines, share of discount, and
the distance of its amount to the median of the customer's earlier orders. Methods: an isolation
forest (Liu, Ting & Zhou 2008), the largest robust z, and as baseline the z of the raw amount.
The one that finds most slips planted into the shop's own orders at the alarm budget scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest

from ml import asof
from ml.anomalies.daily import TooLittleDataError
from ml.anomalies.residuals import CLIP, SEED, robust_sd

BUDGET = 0.005  # share of orders that somebody looks at: one in two hundred
MIN_ORDERS = 300
RECENT_DAYS = 365  # older orders are what the recent ones are compared with, and no news
MOST_ORDERS = 100_000  # the newest so many; older ones change no quantile
TREES = 100
CONTEST_ORDERS = 5000
PLANTED = 100
LEAST_DISCOUNTED = 0.01
BASELINE = "global_z"

REASONS = {
    "amount": "amount of the order",
    "units": "units",
    "unit_price": "amount per unit",
    "lines": "lines",
    "discount": "share of discount",
    "usual": "amount against the customer's usual",
}
# what a slip multiplies: amount, units, and the discount that is then given
SLIPS = {
    "price_x10": (10.0, 1.0, None),
    "price_x0.1": (0.1, 1.0, None),
    "quantity_x20": (20.0, 20.0, None),
    "discount_90": (0.1, 1.0, 0.9),
}


@dataclass(frozen=True)
class OrderModel:
    """A fitted detector.

    Attributes:
        facts: order_id, customer_key, order_date, demand_amount and the columns of `REASONS`.
        contest: recall by method and slip.
    """

    facts: pd.DataFrame
    champion: str
    contest: pd.DataFrame
    note: str = ""


def fit(orders: pd.DataFrame) -> OrderModel:
    """Choose the method on slips planted into the shop's own orders.

    Args:
        orders: rows of `features.order_facts` in any order.

    Raises:
        TooLittleDataError: fewer than `MIN_ORDERS` of an amount above 0.
    """
    sold = orders[(orders["demand_amount"] > 0) & (orders["units"] > 0)]
    if len(sold) < MIN_ORDERS:
        raise TooLittleDataError(f"{len(sold)} orders, {MIN_ORDERS} are needed")
    asof.require_past(sold, ["order_date"], sold["order_date"].max())
    sold = sold.sort_values(["order_date", "placed_at", "order_id"]).tail(MOST_ORDERS)
    facts = facts_of(sold.reset_index(drop=True))
    contest = _contest(facts)
    means = contest.groupby("model")["recall"].mean().sort_index()
    better = means[means > means[BASELINE]]
    if better.empty:
        note = "no method found more planted slips than the baseline (global z)"
        return OrderModel(facts, BASELINE, contest, note)
    return OrderModel(facts, str(better.idxmax()), contest)


def predict(model: OrderModel) -> pd.DataFrame:
    """The orders of the last `RECENT_DAYS` that are unlike others.

    Returns:
        order_id, customer_key, order_date, demand_amount, usual_amount (of the customer's earlier
        orders; null for the first), score (robust standard deviations, or the forest's), reason:
        what was most unusual, in words, and method; the strangest first.
    """
    facts = model.facts
    score = _score(facts, model.champion)
    recent = facts["order_date"] > facts["order_date"].max() - pd.Timedelta(days=RECENT_DAYS)
    threshold = np.quantile(score, 1 - BUDGET)
    chosen = recent.to_numpy() & (score > threshold)
    names = list(REASONS)
    z = _z(facts)[chosen]
    most = np.argmax(np.abs(z), axis=1)
    sides = np.where(z[np.arange(len(z)), most] > 0, "high", "low")
    table = facts.loc[chosen, ["order_id", "customer_key", "order_date", "demand_amount"]]
    table = table.assign(
        usual_amount=np.exp(facts.loc[chosen, "usual_log"]),
        score=score[chosen],
        reason=[f"{REASONS[names[i]]}: {side}" for i, side in zip(most, sides, strict=True)],
        method=model.champion,
    )
    return table.sort_values(["score", "order_id"], ascending=[False, True], ignore_index=True)


def evaluate(model: OrderModel) -> pd.DataFrame:
    """Recall of planted slips: model, metric (recall_<slip>, recall), value, n."""
    slips = model.contest.assign(metric="recall_" + model.contest["slip"], n=PLANTED)
    overall = (
        model.contest.groupby("model", as_index=False)["recall"]
        .mean()
        .assign(metric="recall", n=PLANTED * len(SLIPS))
    )
    both = pd.concat([slips, overall], ignore_index=True).rename(columns={"recall": "value"})
    return both[["model", "metric", "value", "n"]]


def facts_of(orders: pd.DataFrame) -> pd.DataFrame:
    """The facts of each order, in the order of time; `usual` is 0 for a customer's first.

    Args:
        orders: sorted by time.
    """
    amount = np.log(orders["demand_amount"].to_numpy(float))
    units = np.log(orders["units"].to_numpy(float))
    gross = orders["gross_sales_amount"].to_numpy(float)
    discount = np.divide(
        orders["discount_amount"].to_numpy(float), gross, out=np.zeros(len(gross)), where=gross > 0
    )
    facts = orders[["order_id", "customer_key", "order_date", "demand_amount"]].assign(
        amount=amount,
        units=units,
        unit_price=amount - units,
        lines=np.log(orders["order_lines"].clip(lower=1).to_numpy(float)),
        discount=discount,
    )
    # of the orders before only: an order must not explain itself
    known = facts[facts["customer_key"].notna()]
    so_far = known.groupby("customer_key")["amount"].expanding().median()
    usual = so_far.groupby(level=0).shift().droplevel(0)
    facts["usual_log"] = usual.reindex(facts.index)
    facts["usual"] = (facts["amount"] - facts["usual_log"]).fillna(0.0)
    return facts


def _contest(facts: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(SEED)
    sample = facts.tail(CONTEST_ORDERS).reset_index(drop=True)
    planted = np.sort(random.choice(len(sample), min(PLANTED, len(sample) // 10), replace=False))
    rows = []
    # where discounts are not given, any discount is found by any method: no contest
    gives_discounts = (sample["discount"] > 0).mean() > LEAST_DISCOUNTED
    for slip, (amount, units, discount) in SLIPS.items():
        if discount is not None and not gives_discounts:
            continue
        wrong = sample.copy()
        wrong.loc[planted, ["amount", "usual"]] += np.log(amount)
        wrong.loc[planted[sample.loc[planted, "usual_log"].isna()], "usual"] = 0.0
        wrong.loc[planted, "units"] += np.log(units)
        wrong.loc[planted, "unit_price"] += np.log(amount / units)
        wrong.loc[planted, "demand_amount"] *= amount
        if discount is not None:
            wrong.loc[planted, "discount"] = discount
        for method in (BASELINE, "robust_z", "distance", "forest"):
            # the forest and the scales learn from what is right, as they do in use from the past
            score = _score(wrong, method, learned=sample)
            threshold = np.quantile(np.delete(score, planted), 1 - BUDGET)
            rows.append((method, slip, float((score[planted] > threshold).mean())))
    return pd.DataFrame(rows, columns=["model", "slip", "recall"])


def _score(facts: pd.DataFrame, method: str, learned: pd.DataFrame | None = None) -> np.ndarray:
    """How unlike others each order is, shape (n,)."""
    learned = facts if learned is None else learned
    if method == BASELINE:
        amount = learned["demand_amount"].to_numpy(float)
        z = (facts["demand_amount"].to_numpy(float) - amount.mean()) / (amount.std() or 1.0)
        return np.abs(z)
    z = _z(facts, learned)
    if method == "robust_z":
        return np.abs(z).max(axis=1)
    if method == "distance":
        # scales are of clipped values, so that the odd ones do not widen what is usual
        usual = np.clip(_z(learned), -CLIP, CLIP)
        covariance = np.cov(usual.T) + 1e-3 * np.eye(usual.shape[1])
        away = z - np.median(usual, axis=0)
        return np.sqrt(np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away))
    forest = IsolationForest(n_estimators=TREES, random_state=SEED, n_jobs=1)
    return np.asarray(-forest.fit(_z(learned)).score_samples(z))


def _z(facts: pd.DataFrame, learned: pd.DataFrame | None = None) -> np.ndarray:
    """Robust z of each fact, shape (n, facts)."""
    learned = facts if learned is None else learned
    found = []
    for name in REASONS:
        of = learned[name].to_numpy(float)
        # most orders have no discount: their deviation is none, and any discount would be infinite
        used = of[of != 0] if (of == 0).mean() > 0.5 and (of != 0).any() else of
        middle = 0.0 if used is not of else float(np.median(of))
        scale = max(robust_sd(used), float(used.std()) / 3, 1e-6)
        found.append((facts[name].to_numpy(float) - middle) / scale)
    return np.column_stack(found)
