"""K-means clusters of customers by recency, frequency and money.

The RFM segments themselves are SQL (`features.customer_rfm`); clusters show what the customers
themselves group into. Columns are log(1 + x) and standardised: on raw amounts the silhouette picks
two clusters, a few whales and everyone else, that don't survive a bootstrap (ARI -.002 on
*Online Retail II*).

k is the local maximum of the silhouette beyond 2 among the k that are stable (mean adjusted Rand
index of bootstrap refits at least `MIN_STABILITY`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

COLUMNS = ("recency_days", "order_days", "monetary_amount")
SEED = 20240229
K_RANGE = range(2, 9)
MIN_STABILITY = 0.9
BOOTSTRAPS = 20
STARTS = 10
SAMPLE = 4000  # silhouette is quadratic; beyond this many customers it no longer moves
MIN_CUSTOMERS = 100


class TooLittleDataError(Exception):
    """The customers can't be clustered; the message says why."""


@dataclass(frozen=True)
class Clusters:
    """Fitted clusters, ordered by money: the first spends most.

    Attributes:
        mean, deviation: of log(1 + x) of the `COLUMNS`, shape (3,).
        centres: standardised, shape (k, 3).
        names: in words, unique, shape (k,).
        choice: one row per tried k: k, silhouette, stability.
        note: why k isn't the rule's, empty if it is.
    """

    mean: np.ndarray
    deviation: np.ndarray
    centres: np.ndarray
    names: tuple[str, ...]
    choice: pd.DataFrame
    note: str = ""


def fit(customers: pd.DataFrame) -> Clusters:
    """Choose k and cluster.

    Args:
        customers: columns customer_key and `COLUMNS`, in any row order.

    Raises:
        TooLittleDataError: fewer than `MIN_CUSTOMERS`, or fewer than 4 different ones.
    """
    customers = customers.sort_values("customer_key")
    if len(customers) < MIN_CUSTOMERS:
        raise TooLittleDataError(f"{len(customers)} customers, {MIN_CUSTOMERS} are needed")
    logs = _logs(customers)
    mean, deviation = logs.mean(axis=0), logs.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    x = (logs - mean) / deviation
    distinct = len(np.unique(x, axis=0))
    if distinct < 4:
        raise TooLittleDataError(f"{distinct} different customers, 4 are needed")
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        choice = _tried(x, [k for k in K_RANGE if k < distinct])
        k, note = choose_k(choice)
        model = _kmeans(k).fit(x)
    # most money first; ties by recency, so that labels never depend on the order of rows
    centres = model.cluster_centers_
    order = np.lexsort((centres[:, 0], -centres[:, 1], -centres[:, 2]))
    centres = centres[order]
    return Clusters(mean, deviation, centres, _names(centres), choice, note)


def predict(model: Clusters, customers: pd.DataFrame) -> pd.DataFrame:
    """The cluster of each customer.

    Returns:
        customer_key, cluster (1 spends most), cluster_name, distance to its centre in standard
        deviations; sorted by customer.
    """
    customers = customers.sort_values("customer_key")
    x = (_logs(customers) - model.mean) / model.deviation
    distances = np.linalg.norm(x[:, None, :] - model.centres[None, :, :], axis=2)
    nearest = distances.argmin(axis=1)
    return pd.DataFrame(
        {
            "customer_key": customers["customer_key"].to_numpy(),
            "cluster": nearest + 1,
            "cluster_name": np.array(model.names, dtype=object)[nearest],
            "distance": distances[np.arange(len(x)), nearest],
        }
    )


def evaluate(model: Clusters) -> pd.DataFrame:
    """Silhouette and stability of every k tried: k, metric, value; the chosen k has the centres."""
    return model.choice.melt(id_vars="k", var_name="metric", value_name="value")


def choose_k(choice: pd.DataFrame) -> tuple[int, str]:
    """The k by the rule, and a note where no k fulfils it.

    Args:
        choice: k, silhouette, stability; consecutive k, ascending.
    """
    beyond = choice[choice["k"] > 2]
    if beyond.empty:
        return int(choice["k"].iloc[-1]), "too few different customers for more clusters"
    silhouette = choice.set_index("k")["silhouette"]
    is_peak = np.array(
        [
            silhouette[k] > silhouette[k - 1] and silhouette[k] >= silhouette.get(k + 1, -1.0)
            for k in beyond["k"]
        ]
    )
    stable = beyond["stability"] >= MIN_STABILITY
    for candidates, note in (
        (beyond[is_peak & stable], ""),
        (beyond[stable], "no stable peak of the silhouette: the best stable k"),
    ):
        if len(candidates):
            return int(candidates.loc[candidates["silhouette"].idxmax(), "k"]), note
    best = beyond.loc[beyond["stability"].idxmax()]
    return int(best["k"]), f"no k is stable: the most stable, {best['stability']:.2f}"


def _logs(customers: pd.DataFrame) -> np.ndarray:
    return np.log1p(customers[list(COLUMNS)].to_numpy(float).clip(min=0))


def _kmeans(k: int, starts: int = STARTS) -> KMeans:
    return KMeans(n_clusters=k, n_init=starts, random_state=SEED)


def _tried(x: np.ndarray, candidates: list[int]) -> pd.DataFrame:
    """Silhouette and bootstrap stability of each k, on at most `SAMPLE` customers."""
    random = np.random.default_rng(SEED)
    if len(x) > SAMPLE:
        x = x[np.sort(random.choice(len(x), SAMPLE, replace=False))]
    resamples = [random.integers(0, len(x), len(x)) for _ in range(BOOTSTRAPS)]
    rows = []
    for k in candidates:
        labels = _kmeans(k).fit_predict(x)
        agreement = [
            adjusted_rand_score(labels, _kmeans(k, starts=3).fit(x[sample]).predict(x))
            for sample in resamples
        ]
        rows.append((k, float(silhouette_score(x, labels)), float(np.mean(agreement))))
    return pd.DataFrame(rows, columns=["k", "silhouette", "stability"])


def _names(centres: np.ndarray) -> tuple[str, ...]:
    """Names from the centres: how recent, how often, how much, against the average customer.

    Clusters that would share a name are told apart by how much they spend.
    """
    names = []
    for recency, frequency, money in centres:
        seen = "recent" if recency < -0.4 else "lapsed" if recency > 0.4 else "cooling"
        often = "frequent" if frequency > 0.4 else "rare" if frequency < -0.4 else "occasional"
        spent = "high" if money > 0.4 else "low" if money < -0.4 else "medium"
        names.append(f"{seen.capitalize()}, {often}, {spent} spend")
    return tuple(
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    )
