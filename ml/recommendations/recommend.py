"""Recommendations: what a customer buys next, what would be new to them, what goes together.

Three questions, each with its trivial baseline (popularity) and its own champion:

- `next_basket`: the items of a known customer's next order, repeats included.
- `new_items`: those among them that the customer never bought.
- `basket_completion`: the item that is missing from a basket, given the others.

`fit` stands on the day one horizon ago, lets every model recommend from what was known then, and
compares with what was bought; the best model learns again up to today and recommends. Items that
a model never saw count as misses. Newcomers, of whom nothing is known, get what is popular.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import lightgbm
import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from ml import asof
from ml.failures import Failures
from ml.recommendations import items, ranker
from ml.recommendations.baskets import ANONYMOUS, Baskets, days_of
from ml.recommendations.taste import Scores, Taste, halves, scores, taste

HORIZON_DAYS = 90
TOP = 10
SEED = 20240229

# below these a comparison would be a guess
MIN_BASKETS = 100
MIN_ITEMS = 3
MIN_TEST = 50
MAX_TEST = 2000  # customers or baskets of a comparison: a standard error of about .005
# by NDCG, among models within this of the best the first (the cheapest) wins
TIE = 0.0005

ACTIVE_DAYS = (
    365  # who ordered longer ago is recommended to like a newcomer: a year has all seasons
)
ON_SALE_DAYS = 90  # an item that nobody took for longer is not recommended: it is likely gone
NEWCOMER = "-1"  # the unknown member of dim_customers

PAIR_DAYS = 730
MIN_PAIR_ORDERS = 5  # of both items, below which a pair isn't shown
MIN_LIFT_ORDERS = 20  # of both items, below which its lift is noise: a lift of 50 on 5 orders
PAIRS_EACH = 20  # of the best partners of an item
LARGEST_PAIR_BASKET = 50  # larger ones are wholesale: they hold everything beside everything

BASELINE = "popularity"
# cheapest first
NEXT_BASKET = (BASELINE, "frequency", "decay", "tifu", "ranker")
NEW_ITEMS = (BASELINE, "neighbours", "ease")
COMPLETION = (BASELINE, "cosine", "rules", "ease")
MODELS: Mapping[str, tuple[str, ...]] = {
    "next_basket": NEXT_BASKET,
    "new_items": NEW_ITEMS,
    "basket_completion": COMPLETION,
}


class TooLittleDataError(Exception):
    """Nothing can be recommended; the message says what is missing."""


@dataclass(frozen=True)
class Model:
    """Fitted recommenders.

    Attributes:
        baskets: all that was learned from.
        today: last day that may be known; days since 1970.
        champions: model that recommends, by question.
        measured: one row per question, model and metric of the comparison.
        ranker: the learned ranker; None where no champion needs it.
        completion: the champion of basket completion, learned up to today.
        counts: baskets that hold two items, of the last `PAIR_DAYS` days, without the largest.
        is_active: whether the catalogue still has each item; shape (items,).
        note: what a reader must know, empty if nothing.
    """

    baskets: Baskets
    today: int
    champions: Mapping[str, str]
    measured: pd.DataFrame
    ranker: lightgbm.Booster | None
    completion: items.ItemModel
    counts: sparse.csr_array
    is_active: np.ndarray
    note: str = ""


@dataclass
class _Sums:
    """Measures per question and model, gathered chunk by chunk."""

    values: dict[tuple[str, str], list[dict[str, np.ndarray]]] = field(default_factory=dict)

    def add(self, question: str, model: str, score: np.ndarray, wanted: np.ndarray) -> None:
        """Of the rows that want anything: score and wanted have shape (rows, items)."""
        rows = wanted.any(axis=1)
        if rows.any():
            measured = ranking_measures(score[rows], wanted[rows])
            self.values.setdefault((question, model), []).append(measured)

    def table(self) -> pd.DataFrame:
        """One row per question, model and metric: their mean and how many were measured."""
        rows = []
        for (question, model), parts in self.values.items():
            for metric in parts[0]:
                joined = np.concatenate([part[metric] for part in parts])
                rows.append((question, model, metric, float(joined.mean()), len(joined)))
        return pd.DataFrame(rows, columns=["series", "model", "metric", "value", "n"])


def fit(
    lines: pd.DataFrame,
    as_of: pd.Timestamp | None = None,
    off_sale: Collection[str] = (),
) -> Model:
    """Compare the models on the shop's own past and let the best of each question learn.

    Args:
        lines: rows of `features.basket_lines` in any order.
        as_of: last day that may be known; the newest order's day if not given.
        off_sale: keys of products that the catalogue has no more: learned from, not recommended.

    Raises:
        TooLittleDataError: too few baskets or items.
        LeakError: a line is dated after the as-of date.
    """
    if lines.empty:
        raise TooLittleDataError("no order with a product")
    as_of = lines["order_date"].max() if as_of is None else as_of
    asof.require_past(lines, ["order_date"], as_of)
    baskets = Baskets.from_frame(lines)
    today = int(days_of(pd.Series([as_of]))[0])
    if len(baskets.basket_day) < MIN_BASKETS:
        raise TooLittleDataError(f"{len(baskets.basket_day)} orders, {MIN_BASKETS} are needed")
    if len(baskets.items) < MIN_ITEMS:
        raise TooLittleDataError(f"{len(baskets.items)} products, {MIN_ITEMS} are needed")
    failures = Failures()
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        lessons = ranker.Lessons(baskets, HORIZON_DAYS)
        measured = backtest(lessons, today, failures)
        champions = {name: choose(measured, name) for name in MODELS}
        learned = None
        if "ranker" in champions.values():
            with failures.leave_out("ranker"):
                learned = ranker.fit(lessons, today)
        if learned is None:  # it could be fitted on past days, and can't today
            others = measured[measured["model"] != "ranker"]
            champions = {name: choose(others, name) for name in MODELS}
        return Model(
            baskets=baskets,
            today=today,
            champions=champions,
            measured=measured,
            ranker=learned,
            completion=completion_model(champions["basket_completion"], baskets, today),
            counts=_pair_counts(baskets, today),
            is_active=~np.isin(baskets.items.astype(str), list(off_sale)),
            note="; ".join([*failures.notes(), *_notes(measured, champions)]),
        )


def predict(model: Model) -> dict[str, pd.DataFrame]:
    """Recommendations of today.

    Returns:
        By table: `recommendations`, one row per customer (`NEWCOMER` for all others), purpose and
        rank: customer_key, purpose, rank, product_key, score, model, reason, reason_product_key.
        Scores order one customer's items of one purpose and mean nothing else. `product_pairs`,
        see `pairs`.
    """
    with threadpool_limits(1):
        known = taste(model.baskets, model.today)
        on_sale = (known.sold(ON_SALE_DAYS) > 0) & model.is_active
        tables = [_newcomers(known, model.is_active)]
        shared = ranker.shared_features(known) if model.ranker else None
        for part in scores(known, _active(known)):
            ranked = ranker.rank(model.ranker, known, part, shared) if model.ranker else None
            for purpose in ("next_basket", "new_items"):
                tables.append(_recommend(model, known, part, ranked, on_sale, purpose))
        return {
            "recommendations": pd.concat(tables, ignore_index=True),
            "product_pairs": pairs(model),
        }


def evaluate(model: Model) -> pd.DataFrame:
    """Measures of the comparison: series (the question), model, metric, value, n.

    recall_10, ndcg_10 and hit_10, means over the customers or baskets measured.
    """
    return model.measured


def pairs(model: Model) -> pd.DataFrame:
    """What is bought together.

    Returns:
        One row per item and each of its best `PAIRS_EACH` partners that were bought together at
        least `MIN_PAIR_ORDERS` times, by the weight of the completion champion: product_key,
        other_product_key, rank, orders_with_both, support, confidence (share of the orders with
        the one that hold the other), lift (None below `MIN_LIFT_ORDERS`: it would be noise),
        weight (what having the one adds to the other's score) and model.
    """
    counts = model.counts.tocoo()
    single = model.counts.diagonal()
    keep = (counts.row != counts.col) & (counts.data >= MIN_PAIR_ORDERS)
    keep &= model.is_active[counts.col]
    one, other = counts.row[keep], counts.col[keep]
    both = counts.data[keep].astype(float)
    total = _pair_baskets(model.baskets, model.today).sum()
    table = pd.DataFrame(
        {
            "one": one,
            "other": other,
            "orders_with_both": both.astype(int),
            "support": both / max(total, 1),
            "confidence": both / single[one],
            "lift": np.where(
                both >= MIN_LIFT_ORDERS, both * total / (single[one] * single[other]), np.nan
            ),
            "weight": _weights(model.completion, one, other),
            "model": model.completion.name,
        }
    ).sort_values(["one", "weight", "confidence", "other"], ascending=[True, False, False, True])
    table["rank"] = table.groupby("one").cumcount() + 1
    table = table[table["rank"] <= PAIRS_EACH]
    table.insert(0, "product_key", model.baskets.items[table.pop("one")])
    table.insert(1, "other_product_key", model.baskets.items[table.pop("other")])
    return table.reset_index(drop=True)


def backtest(lessons: ranker.Lessons, today: int, failures: Failures) -> pd.DataFrame:
    """Every model on the day one horizon ago: series, model, metric, value, n."""
    return compare(lessons, today - HORIZON_DAYS, today, MAX_TEST, failures)


def compare(
    lessons: ranker.Lessons, day: int, last_day: int, most: int, failures: Failures
) -> pd.DataFrame:
    """Every model as it would have been on a day, on what was bought up to a later one.

    Args:
        lessons: of the shop and its baskets.
        day: last day that the models know.
        last_day: last day that they are measured on.
        most: customers or baskets to measure on.
        failures: takes what raises.

    Returns:
        Rows as `evaluate` has them; none where too little was bought on either side.
    """
    sums, baskets = _Sums(), lessons.baskets
    if len(baskets.until(day).basket_day) >= MIN_BASKETS:
        learned = None
        with failures.leave_out("ranker"):
            learned = ranker.fit(lessons, day)
        _test_customers(sums, baskets, day, last_day, most, learned, failures)
        _test_completion(sums, baskets, day, last_day, most, failures)
    measured = sums.table()
    return measured[~measured["model"].isin(failures.errors)]


def choose(measured: pd.DataFrame, question: str) -> str:
    """The model with the best NDCG that beats the baseline; the baseline if none does."""
    ndcg = measured[(measured["series"] == question) & (measured["metric"] == "ndcg_10")]
    value = ndcg.set_index("model")["value"]
    if BASELINE not in value or value.max() <= value[BASELINE]:
        return BASELINE
    return next(name for name in MODELS[question] if value.get(name, 0) >= value.max() - TIE)


def completion_model(name: str, baskets: Baskets, today: int) -> items.ItemModel:
    """A model of basket completion, learned from the baskets up to a day."""
    past = baskets.until(today)
    if name == BASELINE:
        return items.popularity(Taste(past, today).popular)
    if name == "ease":
        sizes = np.diff(past.by_basket.indptr)
        # old baskets say less, and in a large one anything stands beside anything
        weight = halves(today - past.basket_day) * np.sqrt(sizes.mean() / np.maximum(sizes, 1))
        return items.ease(items.scale_rows(past.by_basket, np.sqrt(weight)), items.BASKET_PENALTY)
    counts = items.together(past.by_basket)
    return items.rules(counts) if name == "rules" else items.cosine(counts)


def customer_score(name: str, part: Scores, ranked: np.ndarray | None) -> np.ndarray | None:
    """Scores of a model of next baskets or new items; None where it could not be fitted."""
    return ranked if name == "ranker" else getattr(part, name)


def ranking_measures(score: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """recall_10, ndcg_10 and hit_10 of each row; wanted is boolean, no row is empty.

    Ties go to the first item. NDCG by its textbook definition with gains of 0 and 1 (Järvelin &
    Kekäläinen 2002, ACM TOIS 20).
    """
    best = top_items(score)
    hits = np.take_along_axis(wanted, best, axis=1) & (
        np.take_along_axis(score, best, axis=1) > -np.inf
    )
    number = wanted.sum(axis=1)
    discount = 1 / np.log2(np.arange(best.shape[1]) + 2)
    ideal = np.cumsum(discount)[np.minimum(number, best.shape[1]) - 1]
    return {
        "recall_10": hits.sum(axis=1) / number,
        "ndcg_10": hits @ discount / ideal,
        "hit_10": hits.any(axis=1).astype(float),
    }


def top_items(score: np.ndarray) -> np.ndarray:
    """Codes of the `TOP` best items of each row, best first; of equal ones the first code."""
    size = min(TOP, score.shape[1])
    border = np.partition(score, score.shape[1] - size, axis=1)[:, -size, None]
    best = np.empty((len(score), size), np.int64)
    for row, (values, least) in enumerate(zip(score, border[:, 0], strict=True)):
        over = np.flatnonzero(values >= least)
        best[row] = over[np.argsort(-values[over], kind="stable")[:size]]
    return best


def _test_customers(
    sums: _Sums,
    baskets: Baskets,
    day: int,
    last_day: int,
    most: int,
    learned: lightgbm.Booster | None,
    failures: Failures,
) -> None:
    """Next baskets and new items of the customers known on a day."""
    customers, following = baskets.next_baskets(day, last_day)
    if len(customers) < MIN_TEST:
        return
    chosen = sample(np.random.default_rng(SEED), len(customers), most)
    customers, bought = customers[chosen], baskets.by_basket[following[chosen]]
    known = taste(baskets, day)
    shared = ranker.shared_features(known) if learned else None
    first = 0
    for part in scores(known, customers):
        wanted = bought[first : first + len(part.customers)].toarray() > 0
        first += len(part.customers)
        ranked = ranker.rank(learned, known, part, shared) if learned else None
        for name in dict.fromkeys((*NEXT_BASKET, *NEW_ITEMS)):
            score = None
            with failures.leave_out(name):
                score = customer_score(name, part, ranked)
            if score is None:
                continue
            if name in NEXT_BASKET:
                sums.add("next_basket", name, score, wanted)
            if name in NEW_ITEMS:
                fresh = np.where(part.seen, -np.inf, score)
                sums.add("new_items", name, fresh, wanted & ~part.seen)


def _test_completion(
    sums: _Sums, baskets: Baskets, day: int, last_day: int, most: int, failures: Failures
) -> None:
    """Later baskets with one item hidden, which the models must find."""
    random = np.random.default_rng(SEED)
    sizes = np.diff(baskets.by_basket.indptr)
    later = (baskets.basket_day > day) & (baskets.basket_day <= last_day) & (sizes > 1)
    pool = np.flatnonzero(later)
    if len(pool) < MIN_TEST:
        return
    chosen = pool[sample(random, len(pool), most)]
    in_hand, hidden = hide_one(baskets.by_basket[chosen], random)
    for name in COMPLETION:
        model = None
        with failures.leave_out(name):
            model = completion_model(name, baskets, day)
        if model is None:
            continue
        for start in range(0, len(chosen), 500):
            part = in_hand[start : start + 500]
            score = model.score(part, len(baskets.items))
            held = part.toarray() > 0
            wanted = np.zeros(held.shape, bool)
            wanted[np.arange(len(wanted)), hidden[start : start + 500]] = True
            sums.add("basket_completion", name, np.where(held, -np.inf, score), wanted)


def hide_one(
    rows: sparse.csr_array, random: np.random.Generator
) -> tuple[sparse.csr_array, np.ndarray]:
    """The rows without one entry each, drawn at random, and the columns of those."""
    sizes = np.diff(rows.indptr)
    place = rows.indptr[:-1] + (random.random(len(sizes)) * sizes).astype(np.int64)
    kept = np.ones(len(rows.indices), bool)
    kept[place] = False
    starts = rows.indptr - np.arange(len(rows.indptr))
    rest = sparse.csr_array((rows.data[kept], rows.indices[kept], starts), shape=rows.shape)
    return rest, rows.indices[place]


def sample(random: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Places of `size` of n, ascending; all where there are no more."""
    return np.sort(random.choice(n, size, replace=False)) if n > size else np.arange(n)


def _active(known: Taste) -> np.ndarray:
    """Customers with an order within `ACTIVE_DAYS`, ascending."""
    recent = known.baskets.basket_customer[known.baskets.basket_day > known.day - ACTIVE_DAYS]
    codes = np.unique(recent)
    return codes[codes != ANONYMOUS]


def _recommend(
    model: Model,
    known: Taste,
    part: Scores,
    ranked: np.ndarray | None,
    on_sale: np.ndarray,
    purpose: str,
) -> pd.DataFrame:
    """The best items of a chunk of customers for one purpose."""
    name = model.champions[purpose]
    score = np.where(on_sale, customer_score(name, part, ranked), -np.inf)
    if purpose == "new_items":
        score = np.where(part.seen, -np.inf, score)
    best = top_items(score)
    value = np.take_along_axis(score, best, axis=1)
    row, place = np.nonzero(value > -np.inf)
    item, who = best[row, place], part.customers[row]
    counts = part.frequency[row, item]
    seen = part.seen[row, item]
    cause = _cause(known, part, row, item, ~seen)
    orders = known.customer_baskets[who]
    reasons = [
        f"bought in {int(count)} of {total} order{'' if total == 1 else 's'}"
        if again
        else ("goes with what the customer buys" if why >= 0 else "popular")
        for count, total, again, why in zip(counts, orders, seen, cause, strict=True)
    ]
    keys = np.append(known.baskets.items, None)  # the last one, -1, is no item
    return pd.DataFrame(
        {
            "customer_key": known.baskets.customers[who],
            "purpose": purpose,
            "rank": place + 1,
            "product_key": known.baskets.items[item],
            "score": value[row, place].astype(float),
            "model": name,
            "reason": reasons,
            "reason_product_key": keys[cause],
        }
    )


def _cause(
    known: Taste, part: Scores, row: np.ndarray, item: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Which of the customer's items speaks most for a new one, by EASE; -1 where none does."""
    weights, members = known.ease.weights, known.ease.members
    place = np.full(len(known.baskets.items), -1)
    place[members] = np.arange(len(members))
    interest = known.interest[part.customers]
    result = np.full(len(row), -1)
    for one in np.unique(row[wanted]):
        asked = np.flatnonzero((row == one) & wanted & (place[item] >= 0))
        span = slice(interest.indptr[one], interest.indptr[one + 1])
        held = interest.indices[span]
        known_to = place[held] >= 0
        held, weight = held[known_to], interest.data[span][known_to]
        if not len(held) or not len(asked):
            continue
        speaks = weight[:, None] * weights[np.ix_(place[held], place[item[asked]])]
        best = speaks.argmax(axis=0)
        positive = speaks[best, np.arange(len(asked))] > 0
        result[asked] = np.where(positive, held[best], -1)
    return result


def _newcomers(known: Taste, is_active: np.ndarray) -> pd.DataFrame:
    """What is popular, for all of whom nothing is known."""
    popular = known.popular if known.popular.any() else known.sold(ACTIVE_DAYS)
    popular = np.where(is_active, popular, 0)
    best = top_items(popular[None, :])[0]
    best = best[popular[best] > 0]
    return pd.DataFrame(
        {
            "customer_key": NEWCOMER,
            "purpose": "newcomer",
            "rank": np.arange(len(best)) + 1,
            "product_key": known.baskets.items[best],
            "score": popular[best].astype(float),
            "model": BASELINE,
            "reason": "popular",
            "reason_product_key": None,
        }
    )


def _pair_baskets(baskets: Baskets, today: int) -> np.ndarray:
    """True for the baskets that pairs are counted in."""
    sizes = np.diff(baskets.by_basket.indptr)
    return (baskets.basket_day > today - PAIR_DAYS) & (sizes <= LARGEST_PAIR_BASKET)


def _pair_counts(baskets: Baskets, today: int) -> sparse.csr_array:
    past = baskets.until(today)
    return items.together(past.by_basket[_pair_baskets(past, today)])


def _weights(model: items.ItemModel, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Weights of pairs of items; 0 for those that the model doesn't know."""
    if model.members is None:
        return np.asarray(model.weights[one, other]).ravel().astype(float)
    place = np.full(int(max(one.max(initial=0), other.max(initial=0), model.members.max())) + 1, -1)
    place[model.members] = np.arange(len(model.members))
    found = model.weights[place[one], place[other]]
    return np.where((place[one] >= 0) & (place[other] >= 0), found, 0.0).astype(float)


def _notes(measured: pd.DataFrame, champions: Mapping[str, str]) -> list[str]:
    notes = []
    for question, champion in champions.items():
        if champion != BASELINE:
            continue
        compared = (measured["series"] == question).any()
        notes.append(
            f"{question}: no model beat popularity"
            if compared
            else f"{question}: history too short for a comparison, popularity recommends"
        )
    return notes
