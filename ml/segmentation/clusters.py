"""K-means clusters of customers by recency, frequency and money.

The RFM segments themselves are SQL (`features.customer_rfm`); clusters show what the customers
themselves group into. Columns are log(1 + x) and standardised: on raw amounts the silhouette picks
two clusters, a few whales and everyone else, that don't survive a bootstrap (ARI -.002 on
*Online Retail II*).

k is the local maximum of the silhouette beyond 2 among the k that are stable (mean adjusted Rand
index of bootstrap refits at least `MIN_STABILITY`).

Labels outlive a run: clusters are matched with those of the run before by the nearest centres
(Hungarian method), and a matched one keeps its number and name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

COLUMNS = ("recency_days", "order_days", "monetary_amount")
SEED = 20240229
K_RANGE = range(2, 9)
MIN_STABILITY = 0.9
BOOTSTRAPS = 12
STARTS = 10
# refits with fewer starts end in local optima, and what looks unstable is the optimiser
REFIT_STARTS = 8
SAMPLE = 4000  # silhouette is quadratic; beyond this many customers it no longer moves
# of small samples the refits differ by the sample; beyond this many they no longer move
STABILITY_SAMPLE = 10_000
MAX_SHIFT = 0.75  # standard deviations; a centre that moved further is another group
MIN_CUSTOMERS = 100


class TooLittleDataError(Exception):
    """The customers can't be clustered; the message says why."""


@dataclass(frozen=True)
class Clusters:
    """Fitted clusters, ordered by money: the first spends most.

    Attributes:
        mean, deviation: of log(1 + x) of the `COLUMNS`, shape (3,).
        centres: standardised, shape (k, 3).
        numbers: unique, from 1, shape (k,); in the order of money unless the run before had others.
        names: in words, unique, shape (k,).
        shifts: how far each centre lies from the same cluster's of the run before, in standard
            deviations, NaN for new ones, shape (k,).
        choice: one row per tried k: k, silhouette, stability.
        note: why k isn't the rule's, empty if it is.
    """

    mean: np.ndarray
    deviation: np.ndarray
    centres: np.ndarray
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    shifts: np.ndarray
    choice: pd.DataFrame
    note: str = ""


def fit(customers: pd.DataFrame, previous: pd.DataFrame | None = None) -> Clusters:
    """Choose k and cluster.

    Args:
        customers: columns customer_key and `COLUMNS`, in any row order.
        previous: `profiles` of the run before; None or empty without one.

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
    if previous is None or previous.empty:
        numbers, names = tuple(range(1, k + 1)), _names(centres)
        return Clusters(mean, deviation, centres, numbers, names, np.full(k, np.nan), choice, note)
    numbers, names, shifts = _matched(centres, previous, mean, deviation)
    return Clusters(mean, deviation, centres, numbers, names, shifts, choice, note)


def predict(model: Clusters, customers: pd.DataFrame) -> pd.DataFrame:
    """The cluster of each customer.

    Returns:
        customer_key, cluster (its number), cluster_name, distance to its centre in standard
        deviations; sorted by customer.
    """
    customers = customers.sort_values("customer_key")
    x = (_logs(customers) - model.mean) / model.deviation
    distances = np.linalg.norm(x[:, None, :] - model.centres[None, :, :], axis=2)
    nearest = distances.argmin(axis=1)
    return pd.DataFrame(
        {
            "customer_key": customers["customer_key"].to_numpy(),
            "cluster": np.array(model.numbers)[nearest],
            "cluster_name": np.array(model.names, dtype=object)[nearest],
            "distance": distances[np.arange(len(x)), nearest],
        }
    )


def profiles(model: Clusters, customers: pd.DataFrame) -> pd.DataFrame:
    """What each cluster is like, in numbers and in words.

    Returns:
        One row per cluster, the one that spends most first: cluster, cluster_name, profile (a
        sentence), customers, customer_share, monetary_share (of what all spent), medians of the
        `COLUMNS` as median_<column>, centres on log(1 + x) as centre_<column>, shift (standard
        deviations since the run before; NaN if new), is_new.
    """
    labels = predict(model, customers).set_index("customer_key")["cluster"]
    of_all = customers.set_index("customer_key")
    spent = of_all["monetary_amount"].clip(lower=0)
    logs = model.centres * model.deviation + model.mean
    rows = []
    for place, number in enumerate(model.numbers):
        members = labels.index[labels == number]
        medians = of_all.loc[members, list(COLUMNS)].median()
        share = len(members) / len(of_all)
        money = float(spent[members].sum() / spent.sum()) if spent.sum() > 0 else 0.0
        rows.append(
            {
                "cluster": number,
                "cluster_name": model.names[place],
                "profile": _sentence(share, money, medians) if len(members) else "nobody",
                "customers": len(members),
                "customer_share": share,
                "monetary_share": money,
                **{f"median_{column}": float(medians[column]) for column in COLUMNS},
                **{f"centre_{c}": float(logs[place, i]) for i, c in enumerate(COLUMNS)},
                "shift": model.shifts[place],
                "is_new": bool(np.isnan(model.shifts[place])),
            }
        )
    return pd.DataFrame(rows)


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
    """Silhouette and bootstrap stability of each k, on samples of large shops."""
    random = np.random.default_rng(SEED)
    x = _sampled(x, STABILITY_SAMPLE, random)
    shown = _sampled(np.arange(len(x)), SAMPLE, random)
    resamples = [random.integers(0, len(x), len(x)) for _ in range(BOOTSTRAPS)]
    rows = []
    for k in candidates:
        labels = _kmeans(k).fit_predict(x)
        agreement = [
            adjusted_rand_score(labels, _kmeans(k, REFIT_STARTS).fit(x[sample]).predict(x))
            for sample in resamples
        ]
        silhouette = silhouette_score(x[shown], labels[shown])
        rows.append((k, float(silhouette), float(np.mean(agreement))))
    return pd.DataFrame(rows, columns=["k", "silhouette", "stability"])


def _sampled(rows: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    if len(rows) <= most:
        return rows
    return rows[np.sort(random.choice(len(rows), most, replace=False))]


def _matched(
    centres: np.ndarray, previous: pd.DataFrame, mean: np.ndarray, deviation: np.ndarray
) -> tuple[tuple[int, ...], tuple[str, ...], np.ndarray]:
    """Numbers, names and shifts; who is matched to none of the run before gets new ones."""
    logs = previous[[f"centre_{column}" for column in COLUMNS]].to_numpy(float)
    before = (logs - mean) / deviation
    apart = np.linalg.norm(centres[:, None, :] - before[None, :, :], axis=2)
    kept = {
        int(mine): int(other)
        for mine, other in zip(*linear_sum_assignment(apart), strict=True)
        if apart[mine, other] <= MAX_SHIFT
    }
    free = int(previous["cluster"].max())
    taken = {str(previous["cluster_name"].iloc[other]) for other in kept.values()}
    numbers, names, shifts = [], [], np.full(len(centres), np.nan)
    for place, name in enumerate(_names(centres)):
        if place in kept:
            numbers.append(int(previous["cluster"].iloc[kept[place]]))
            names.append(str(previous["cluster_name"].iloc[kept[place]]))
            shifts[place] = apart[place, kept[place]]
        else:
            free += 1
            numbers.append(free)
            names.append(name if name not in taken else f"{name} ({free})")
            taken.add(names[-1])
    return tuple(numbers), tuple(names), shifts


def _sentence(share: float, money: float, medians: pd.Series) -> str:
    days, orders = round(medians["recency_days"]), round(medians["order_days"])
    return (
        f"{share:.0%} of the customers, {money:.0%} of what was spent: half of them last ordered"
        f" within {days} day{'' if days == 1 else 's'}, on {orders} day{'' if orders == 1 else 's'}"
        f" or more in all, for {medians['monetary_amount']:,.2f} or more"
    )


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
