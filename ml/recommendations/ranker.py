"""The learned ranker: candidates from the simple models, ordered by boosted trees.

Two stages as in most shops' recommenders: what the customer bought before and the best new items
of the simple models are the candidates; trees order them by what is known of the customer, the
item and the two of them. They learn from the next baskets of earlier days which candidates were in
them, by LambdaRank (Burges 2010, "From RankNet to LambdaRank to LambdaMART", MSR-TR-2010-82): on
*Online Retail II* it puts more of a basket at the top than trees that learn each pair by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import lightgbm
import numpy as np
from scipy import sparse

from ml.recommendations.baskets import ANONYMOUS, Baskets
from ml.recommendations.taste import Scores, Taste, scores, taste

SEED = 20240229
AHEAD_DAYS = 90  # of last year, ahead of today: what the season brings within the horizon
OWN_CANDIDATES = 100  # of a customer's items, the best by decayed frequency
NEW_CANDIDATES = 15  # of each simple model, among items new to the customer
DAYS, DAYS_APART = 9, 30  # days to learn from
MAX_DAY_CUSTOMERS = 1200  # to learn from
LEARNED_CANDIDATES = 30  # of each, the best by decayed frequency: the others hardly reach the top
MIN_TRAIN_CUSTOMERS = 300  # fewer teach the trees nothing that the simple models don't know
ROUNDS = 80
PARAMETERS = {
    "objective": "lambdarank",
    "learning_rate": 0.12,
    "data_sample_strategy": "goss",  # most pairs are easy, and say little
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
    "days_since_first", "mean_gap", "gap_ratio", "units_each", "last_year",
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
    """What all chunks of a day share: the customer's and the item's own features, and the season.

    Attributes:
        last_year: baskets of each customer with each item within `AHEAD_DAYS` from this day a year
            ago, shape (customers, items).
    """

    customer: np.ndarray
    item: np.ndarray
    last_year: sparse.csr_array


def candidates(
    known: Taste, part: Scores, shared: _Known | None = None, most: int | None = None
) -> Candidates:
    """The candidates of a chunk of customers; of each the `most` best by decayed frequency."""
    shared = shared or shared_features(known)
    is_candidate = _top(np.where(part.seen, part.decay, -1), OWN_CANDIDATES) & part.seen
    for model in (part.neighbours, part.popularity):
        fresh = np.where(part.seen, -np.inf, model)
        is_candidate |= _top(fresh, NEW_CANDIDATES)
    row, item = np.nonzero(is_candidate)
    place = _rank(part.decay, row, item)
    if most is not None:
        best = place < most
        row, item, place = row[best], item[best], place[best]
    who = part.customers[row]
    return Candidates(
        customers=part.customers,
        sizes=np.bincount(row, minlength=len(part.customers)),
        item=item.astype(np.int32),
        features=np.column_stack(
            [
                _pair_features(known, who, item),
                shared.last_year[part.customers].toarray()[row, item],
                place,
                part.tifu[row, item],
                part.neighbours[row, item],
                shared.customer[who],
                shared.item[item],
            ]
        ).astype(np.float32),
    )


@dataclass(frozen=True)
class Lesson:
    """Candidates of one day, and which of them were in the next baskets.

    Customers whose next basket held none of their candidates say nothing of the order, and are
    left out.

    Attributes:
        sizes: candidates of each customer.
        features: shape (candidates, FEATURES), float32.
        bought: 1 where the candidate was in the customer's next basket, shape (candidates,).
    """

    sizes: np.ndarray
    features: np.ndarray
    bought: np.ndarray


@dataclass(frozen=True)
class Lessons:
    """The lessons of a shop, each made once: rankers of different days share most of theirs.

    Attributes:
        baskets: of the shop.
        horizon: days within which the next basket must lie.
    """

    baskets: Baskets
    horizon: int
    _made: dict[int, Lesson | None] = field(default_factory=dict)

    def of(self, day: int) -> Lesson | None:
        """What the customers of a day bought next; None where nobody came again."""
        if day not in self._made:
            self._made[day] = self._make(day)
        return self._made[day]

    def _make(self, day: int) -> Lesson | None:
        customers, following = self.baskets.next_baskets(day, day + self.horizon)
        if not len(customers):
            return None
        random = np.random.default_rng([SEED, day])
        chosen = _sample(random, len(customers), MAX_DAY_CUSTOMERS)
        customers, bought = customers[chosen], self.baskets.by_basket[following[chosen]]
        known = taste(self.baskets, day)
        shared = shared_features(known)
        sizes, features, labels, first = [], [], [], 0
        for part in scores(known, customers):
            found = candidates(known, part, shared, LEARNED_CANDIDATES)
            row = np.repeat(np.arange(len(part.customers)), found.sizes)
            taken = bought[first : first + len(part.customers)].toarray()[row, found.item]
            is_telling = np.bincount(row, taken, len(part.customers)) > 0
            sizes.append(found.sizes[is_telling])
            features.append(found.features[is_telling[row]])
            labels.append(taken[is_telling[row]])
            first += len(part.customers)
        return Lesson(np.concatenate(sizes), np.vstack(features), np.concatenate(labels))


def fit(lessons: Lessons, today: int) -> lightgbm.Booster | None:
    """Learn from the next baskets of earlier days, which all lie before today.

    Several days, a month apart: one day's season would be learned as if it were the rule.

    Args:
        lessons: of the shop; what is later than today is not looked at.
        today: last day that may be learned from; days since 1970.

    Returns:
        The ranker; None where fewer than `MIN_TRAIN_CUSTOMERS` bought a candidate.
    """
    days = (today - lessons.horizon - DAYS_APART * step for step in range(DAYS))
    learned = [lesson for day in days if (lesson := lessons.of(day)) is not None]
    if sum(len(lesson.sizes) for lesson in learned) < MIN_TRAIN_CUSTOMERS:
        return None
    data = lightgbm.Dataset(
        np.vstack([lesson.features for lesson in learned]),
        np.concatenate([lesson.bought for lesson in learned]),
        group=np.concatenate([lesson.sizes for lesson in learned]),
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
        last_year=_bought(known, day - 364, day - 364 + AHEAD_DAYS),
    )


def _bought(known: Taste, after: int, until: int) -> sparse.csr_array:
    """Baskets of each customer with each item after a day and up to another."""
    baskets = known.baskets
    who, day = baskets.basket_customer[baskets.line_basket], baskets.basket_day[baskets.line_basket]
    lines = np.flatnonzero((who != ANONYMOUS) & (day > after) & (day <= until))
    return sparse.csr_array(
        (np.ones(len(lines), np.float32), (who[lines], baskets.line_item[lines])),
        shape=(len(baskets.customers), len(baskets.items)),
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
