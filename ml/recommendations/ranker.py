"""The learned ranker: candidates from the simple models, ordered by boosted trees.

Two stages as in most shops' recommenders: what the customer bought before and the best new items
of the simple models are the candidates; trees order them by what is known of the customer, the
item and the two of them. They learn from the next baskets of earlier days whether a candidate was
in it; LambdaRank orders no better on the same data and takes twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np

from ml.recommendations.baskets import Baskets
from ml.recommendations.taste import Scores, Taste, scores, taste

SEED = 20240229
AHEAD_DAYS = 60  # of last year, ahead of today: the season's items
OWN_CANDIDATES = 100  # of a customer's items, the best by decayed frequency
NEW_CANDIDATES = 15  # of each simple model, among items new to the customer
DAYS, DAYS_APART = 6, 30  # days to learn from
MAX_TRAIN_CUSTOMERS = 3600  # over all days; a half of them costs .001 of recall
MIN_TRAIN_CUSTOMERS = 300  # fewer teach the trees nothing that the simple models don't know
ROUNDS = 80
PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_data_in_leaf": 300,
    "lambda_l2": 10.0,
    "feature_fraction": 0.7,
    "feature_fraction_seed": SEED,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "seed": SEED,
    "verbosity": -1,
}
FEATURES = (
    "count", "count_share", "decayed", "aged", "last_place", "days_since_last",
    "days_since_first", "mean_gap", "gap_ratio", "units_each",
    "frequency_rank", "tifu", "neighbours",
    "baskets", "basket_size", "repeat_share",
    "sold_14d", "sold_60d", "sold_year", "trend", "same_season", "item_repeat_rate",
    "item_recency", "item_age",
)  # fmt: skip


@dataclass(frozen=True)
class Candidates:
    """Pairs of customer and item to order, grouped by customer.

    Attributes:
        customers: codes, one per group.
        sizes: candidates of each.
        item: code of each candidate.
        features: shape (candidates, FEATURES), float32, NaN where undefined.
    """

    customers: np.ndarray
    sizes: np.ndarray
    item: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class _Known:
    """What all chunks of a day share: the customer's and the item's own features."""

    customer: np.ndarray
    item: np.ndarray


def candidates(known: Taste, part: Scores, shared: _Known | None = None) -> Candidates:
    """The candidates of a chunk of customers."""
    shared = shared or shared_features(known)
    is_candidate = _top(np.where(part.seen, part.decay, -1), OWN_CANDIDATES) & part.seen
    for model in (part.neighbours, part.popularity):
        fresh = np.where(part.seen, -np.inf, model)
        is_candidate |= _top(fresh, NEW_CANDIDATES)
    row, item = np.nonzero(is_candidate)
    who = part.customers[row]
    return Candidates(
        customers=part.customers,
        sizes=is_candidate.sum(axis=1),
        item=item.astype(np.int32),
        features=np.column_stack(
            [
                _pair_features(known, who, item),
                _rank(part.decay, row, item),
                part.tifu[row, item],
                part.neighbours[row, item],
                shared.customer[who],
                shared.item[item],
            ]
        ).astype(np.float32),
    )


def fit(baskets: Baskets, today: int, horizon: int) -> lightgbm.Booster | None:
    """Learn from the next baskets of earlier days, which all lie before today.

    Several days, a month apart: one day's season would be learned as if it were the rule.

    Args:
        baskets: of the shop; later ones than today's are not looked at.
        today: last day that may be learned from; days since 1970.
        horizon: days within which the next basket must lie.

    Returns:
        The ranker; None where fewer than `MIN_TRAIN_CUSTOMERS` bought again.
    """
    days = [today - horizon - DAYS_APART * step for step in range(DAYS)]
    following = {day: baskets.next_baskets(day, day + horizon) for day in days}
    days = [day for day in days if len(following[day][0])]
    if sum(len(following[day][0]) for day in days) < MIN_TRAIN_CUSTOMERS:
        return None
    features, labels = [], []
    random = np.random.default_rng(SEED)
    for day in days:
        known = taste(baskets, day)
        customers, following_baskets = following[day]
        chosen = _sample(random, len(customers), MAX_TRAIN_CUSTOMERS // len(days))
        customers, bought = customers[chosen], baskets.by_basket[following_baskets[chosen]]
        shared = shared_features(known)
        first = 0
        for part in scores(known, customers):
            found = candidates(known, part, shared)
            row = np.repeat(np.arange(len(part.customers)), found.sizes)
            taken = bought[first : first + len(part.customers)].toarray()
            features.append(found.features)
            labels.append(taken[row, found.item])
            first += len(part.customers)
    data = lightgbm.Dataset(
        np.vstack(features),
        np.concatenate(labels),
        feature_name=list(FEATURES),
        free_raw_data=True,
    )
    return lightgbm.train(PARAMETERS, data, num_boost_round=ROUNDS)


def rank(
    model: lightgbm.Booster, known: Taste, part: Scores, shared: _Known | None = None
) -> np.ndarray:
    """Scores of all items, -inf where an item is no candidate; shape (customers, items)."""
    found = candidates(known, part, shared)
    result = np.full(part.seen.shape, -np.inf, np.float32)
    row = np.repeat(np.arange(len(part.customers)), found.sizes)
    result[row, found.item] = model.predict(found.features, num_threads=1)
    return result


def shared_features(known: Taste) -> _Known:
    """Features of every customer and every item on that day."""
    baskets, pairs, day = known.baskets, known.pairs, known.day
    n_customers, n_items = len(baskets.customers), len(baskets.items)
    n_baskets = np.maximum(known.customer_baskets, 1)
    lines = np.bincount(pairs.customer, weights=pairs.count, minlength=n_customers)
    repeats = np.bincount(pairs.customer, weights=pairs.count - 1, minlength=n_customers)
    buyers = np.bincount(pairs.item, minlength=n_items)
    again = np.bincount(pairs.item, weights=pairs.count > 1, minlength=n_items)
    first_sold, last_sold = np.full(n_items, day), np.full(n_items, -(10**6))
    line_day = baskets.basket_day[baskets.line_basket]
    # lines are in the order of time, and of many values for a place the last one stays
    last_sold[baskets.line_item] = line_day
    first_sold[baskets.line_item[::-1]] = line_day[::-1]
    fortnight, recent, year = known.sold(14), known.popular, known.sold(365)
    ahead = known.sold(AHEAD_DAYS, day - 364 + AHEAD_DAYS)
    return _Known(
        customer=np.column_stack(
            [n_baskets, lines / n_baskets, repeats / np.maximum(lines, 1)]
        ).astype(np.float32),
        item=np.column_stack(
            [
                # shares, since the same counts mean less in a busy season
                _share(fortnight),
                _share(recent),
                _share(year),
                (fortnight + 1) / (recent + 4),
                _share(ahead) / np.maximum(_share(year), 1e-6),
                again / np.maximum(buyers, 1),
                day - last_sold,
                day - first_sold,
            ]
        ).astype(np.float32),
    )


def _pair_features(known: Taste, who: np.ndarray, item: np.ndarray) -> np.ndarray:
    """What the customer did with the item; NaN for new ones."""
    pairs, day = known.pairs, known.day
    key = pairs.customer.astype(np.int64) * len(known.baskets.items) + pairs.item
    wanted = who.astype(np.int64) * len(known.baskets.items) + item
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    found = key[at] == wanted
    count = pairs.count[at]
    since = day - pairs.last_day[at]
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = (pairs.last_day[at] - pairs.first_day[at]) / (count - 1)
        columns = np.column_stack(
            [
                count,
                count / known.customer_baskets[who],
                pairs.decayed[at],
                pairs.aged[at],
                pairs.last_place[at],
                since,
                day - pairs.first_day[at],
                gap,
                since / gap,
                np.log(pairs.units[at] / count),
            ]
        )
    columns[~found] = np.nan
    columns[~np.isfinite(columns)] = np.nan
    columns[:, 0] = np.where(found, count, 0)
    return columns


def _share(counts: np.ndarray) -> np.ndarray:
    return counts / max(float(counts.sum()), 1)


def _sample(random: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Places of `size` of n, ascending; all where there are no more."""
    return np.sort(random.choice(n, size, replace=False)) if n > size else np.arange(n)


def _top(values: np.ndarray, size: int) -> np.ndarray:
    """True for the `size` largest of each row."""
    size = min(size, values.shape[1])
    best = np.argpartition(-values, size - 1, axis=1)[:, :size]
    result = np.zeros(values.shape, bool)
    np.put_along_axis(result, best, True, axis=1)
    return result


def _rank(values: np.ndarray, row: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Place of each candidate among the candidates of its row by a model, 0 first."""
    chosen = values[row, item]
    order = np.lexsort((item, -chosen, row))
    start = np.searchsorted(row, row)
    place = np.empty(len(row), np.float32)
    place[order] = np.arange(len(row)) - start[order]
    return place
