"""What each product will sell in the next 90 days.

Two questions, since a new product has no past: for `established` ones trees learn how sales changed
from what was known of products on earlier days; for `new` ones how the launches before them went,
by category, brand, price, season and what their sisters sell. The baselines: as much as in the
last 90 days, and the median launch of the category. Champions by weighted absolute percentage error
on the days 90 and 180 days ago (new: the launches since then), trained only on what was over then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xgboost
from sklearn.ensemble import RandomForestRegressor
from threadpoolctl import threadpool_limits

from ml import asof, evaluation
from ml import importance as importances
from ml.failures import Failures
from ml.products import features
from ml.products.features import HORIZON_DAYS, Launches, Shop

SEED = 20240229
TRAIN_DAYS, TRAIN_STEP = 4, 45  # past days that established products are learned from, and apart
TEST_DAYS = (HORIZON_DAYS, 2 * HORIZON_DAYS)  # ago
INTERVAL = 0.8

# below these a model would learn noise
MIN_ROWS = 200
MIN_LAUNCHES = 60
MIN_TEST = 30
MIN_DAYS = 2 * HORIZON_DAYS

# as logarithms foretell, and scaled so that sums are right: a shop's own past decides
TREES = tuple(
    f"{name}{kind}" for name in ("random_forest", "xgboost", "blend") for kind in ("", "_smeared")
)
BEFORE = "units before"  # a column of ours, beside the features
BASELINE = {"established": "last_period", "new": "category_median"}
MODELS: Mapping[str, tuple[str, ...]] = {
    "established": ("last_period", "season", *TREES),
    "new": ("category_median", *TREES),
}


class TooLittleDataError(Exception):
    """Nothing can be predicted; the message says what is missing."""


@dataclass(frozen=True)
class Model:
    """Which model predicts which group.

    Attributes:
        shop: all that is known.
        champions: model by group, only of groups that can be predicted.
        measured: one row per group, model and metric.
        spread: by group, quantiles of log((actual + 1) / (predicted + 1)) of the champion: lower
            and upper end of the interval; None where too little was measured.
        note: what a reader must know, empty if nothing.
    """

    shop: Shop
    champions: Mapping[str, str]
    measured: pd.DataFrame
    spread: Mapping[str, tuple[float, float] | None]
    note: str = ""


def fit(
    sales: pd.DataFrame,
    attributes: pd.DataFrame,
    reviews: pd.DataFrame,
    as_of: pd.Timestamp | None = None,
) -> Model:
    """Compare the models on the shop's own past.

    Args:
        sales: product_key, order_date, units, amount, orders; one row per product and day.
        attributes: rows of `features.product_attributes`.
        reviews: rows of `features.product_reviews`; none where the shop has none.
        as_of: last day that may be known; if not given the newest of a sale or a review.

    Raises:
        TooLittleDataError: no sale, or too few days since the first.
        LeakError: a sale or a review is dated after the as-of date.
    """
    if sales.empty:
        raise TooLittleDataError("no product was sold")
    as_of = asof.newest(sales["order_date"], reviews["review_date"]) if as_of is None else as_of
    asof.require_past(sales, ["order_date"], as_of)
    asof.require_past(reviews, ["review_date"], as_of)
    days = (as_of - sales["order_date"].min()).days + 1
    if days < MIN_DAYS:
        raise TooLittleDataError(f"{days} days of sales, {MIN_DAYS} are needed")
    shop = Shop.from_frames(sales, attributes, reviews, as_of)
    failures = Failures()
    with threadpool_limits(1):  # the order of a sum is the same on every machine
        tested = {
            "established": _test_established(shop, failures),
            "new": _test_new(shop, failures),
        }
    measured = pd.concat(
        [_measures(frame).assign(series=group) for group, frame in tested.items()],
        ignore_index=True,
    )
    champions = {group: choose(measured, group) for group in MODELS}
    notes = failures.notes()
    for group, champion in champions.items():
        if len(tested[group]) == 0:
            notes.append(f"{group}: too few products for a comparison: the baseline, if anything")
        elif champion == BASELINE[group]:
            notes.append(f"{group}: no model beat the baseline ({champion})")
    spread = {group: _spread(tested[group], champions[group]) for group in MODELS}
    return Model(shop, champions, measured, spread, "; ".join(notes))


def predict(model: Model) -> pd.DataFrame:
    """Units and revenue of the next `HORIZON_DAYS`; of a new product those after its launch.

    Returns:
        One row per product that is for sale: product_key, product_group (established, new), model,
        horizon_days, units, lo80 and hi80 (None where too little was measured), price_amount (of
        the last 90 days, else the list price), revenue_amount (None without a price),
        baseline_units and last_units (of the last 90 days).

    Raises:
        TooLittleDataError: no product of either group is for sale.
    """
    shop = model.shop
    with threadpool_limits(1):
        parts = [_predict_established(model), _predict_new(model)]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise TooLittleDataError("no product that is for sale was sold within a year or is new")
    table = pd.concat(parts, ignore_index=True)
    price = shop.price(shop.last)[table["place"]]
    last = shop.total("units", shop.last - HORIZON_DAYS + 1, shop.last)[table["place"]]
    table["price_amount"] = price
    table["revenue_amount"] = table["units"] * price
    table["last_units"] = last
    table.insert(0, "product_key", shop.keys[table.pop("place")])
    table.insert(3, "horizon_days", HORIZON_DAYS)
    return table.sort_values("product_key").reset_index(drop=True)


def evaluate(model: Model) -> pd.DataFrame:
    """Measures of the comparison: series (the group), model, metric, value, n.

    wape, bias and mae of units, wape of their revenue at the price known then, and spearman, the
    rank correlation.
    """
    return model.measured


def importance(model: Model, failures: Failures) -> pd.DataFrame:
    """By how much each champion's WAPE rises without each fact of `features`.

    Args:
        model: see `fit`.
        failures: takes what raises.

    Returns:
        As `ml.importance.permutation`, with series (the group) and model, measured on the newest
        of the days that were compared. A group whose champion is no tree has no row: it is one
        number of the past.
    """
    found = []
    with threadpool_limits(1):
        for group, measure in {"established": _leans_on, "new": _new_lean_on}.items():
            champion = model.champions[group]
            if champion in TREES:
                with failures.leave_out(f"{group}: importance of its facts"):
                    table = measure(model.shop, champion)
                    found.append(table.assign(series=group, model=champion))
    return pd.concat(found, ignore_index=True) if found else importances.nothing()


def _leans_on(shop: Shop, champion: str) -> pd.DataFrame:
    day = shop.last - TEST_DAYS[0]
    of = features.established(shop, day)
    of = of[:: -(-len(of) // importances.MOST_ROWS)]
    lessons, names = training_rows(shop, day), list(features.HISTORY_FEATURES)
    last = shop.total("units", day - HORIZON_DAYS + 1, day, of)
    rows = pd.DataFrame(features.history_features(shop, day, of), columns=names)
    # what trees foretell is a change of it: it goes with the sales so far
    facts = dict(features.HISTORY_FACTS)
    facts["sales so far"] += (BEFORE,)

    def predict(some: pd.DataFrame) -> np.ndarray:
        before = some[BEFORE].to_numpy(float)
        return _trees(lessons, some[names].to_numpy(float), before, Failures())[champion]

    return importances.permutation(
        rows.assign(**{BEFORE: last}), facts, predict, _wape_of(shop.ahead(day)[of])
    )


def _new_lean_on(shop: Shop, champion: str) -> pd.DataFrame:
    train, test = _launches_apart(shop)
    names = list(features.LAUNCH_FEATURES)

    def predict(some: pd.DataFrame) -> np.ndarray:
        return _launched(train, some[names].to_numpy(float), Failures())[champion]

    rows = pd.DataFrame(test.features, columns=names)
    return importances.permutation(rows, features.LAUNCH_FACTS, predict, _wape_of(test.units))


def _wape_of(actual: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda units: evaluation.wape(actual, units)


def choose(measured: pd.DataFrame, group: str) -> str:
    """The model with the least WAPE that beats the baseline; the baseline if none does."""
    wape = measured[(measured["series"] == group) & (measured["metric"] == "wape")]
    value = wape.set_index("model")["value"].dropna()
    if BASELINE[group] not in value or value.min() >= value[BASELINE[group]]:
        return BASELINE[group]
    return str(value.idxmin())


@dataclass(frozen=True)
class Lessons:
    """What trees learn from: rows of features, and how many units came of each.

    Attributes:
        features: shape (rows, features), NaN where undefined.
        before: units that each is compared with, 0 where there is no before; shape (rows,).
        units: of the `HORIZON_DAYS` after; shape (rows,).
        weight: shape (rows,).
    """

    features: np.ndarray
    before: np.ndarray
    units: np.ndarray
    weight: np.ndarray


def training_rows(shop: Shop, today: int) -> Lessons:
    """Established products on earlier days.

    Only days whose 90 days ahead were over by `today`. The weight is the root of the units, so
    that the products that the shop lives on count more, and noise of small ones less.
    """
    x, before, units = [np.zeros((0, len(features.HISTORY_FEATURES)))], [], []
    for step in range(TRAIN_DAYS):
        day = today - HORIZON_DAYS - TRAIN_STEP * step
        if day < HORIZON_DAYS:
            break
        of = features.established(shop, day)
        x.append(features.history_features(shop, day, of))
        before.append(shop.total("units", day - HORIZON_DAYS + 1, day, of))
        units.append(shop.total("units", day + 1, day + HORIZON_DAYS, of))
    last, ahead = (np.concatenate([np.zeros(0), *parts]) for parts in (before, units))
    return Lessons(np.vstack(x), last, ahead, np.sqrt(1 + last + ahead))


def forecast_established(
    shop: Shop, day: int, of: np.ndarray, failures: Failures
) -> dict[str, np.ndarray]:
    """Units of the 90 days after a day by every model that the data allow, by name."""
    last = shop.total("units", day - HORIZON_DAYS + 1, day, of)
    found = {"last_period": last}
    season = features.shop_season(shop, day)
    if np.isfinite(season):
        found["season"] = last * np.exp(season)
    lessons = training_rows(shop, day)
    if len(lessons.units) >= MIN_ROWS:
        found |= _trees(lessons, features.history_features(shop, day, of), last, failures)
    return found


def forecast_new(train: Launches, score: Launches, failures: Failures) -> dict[str, np.ndarray]:
    """Units of the first 90 days by every model that the launches allow, by name."""
    found = {"category_median": score.baseline}
    if len(train.units) >= MIN_LAUNCHES:
        found |= _launched(train, score.features, failures)
    return found


def _launched(train: Launches, x: np.ndarray, failures: Failures) -> dict[str, np.ndarray]:
    # few as they are, one great success would teach all others: each weighs the same
    nothing, same = np.zeros(len(train.units)), np.ones(len(train.units))
    lessons = Lessons(train.features, nothing, train.units, same)
    return _trees(lessons, x, np.zeros(len(x)), failures)


def _trees(
    lessons: Lessons, x: np.ndarray, before: np.ndarray, failures: Failures
) -> dict[str, np.ndarray]:
    """Units by each of `TREES`; a column that is unknown everywhere is left out.

    They learn how the logarithm of the units changes, whose mean is nearer to the median product
    than to those that sell most. So each has a twin, `_smeared`, whose units are scaled until what
    it says of its lessons sums to what came (Duan 1983, Journal of the American Statistical
    Association 78); where few launches were great successes, it says too much.

    Args:
        lessons: what came of what.
        x: features of those to score, shape (n, features).
        before: their units before, shape (n,).
        failures: takes what raises.
    """
    known = np.isfinite(lessons.features).any(axis=0)
    change = np.log1p(lessons.units) - np.log1p(lessons.before)
    forest = RandomForestRegressor(
        n_estimators=40,
        min_samples_leaf=15,
        max_features=0.4,
        max_samples=0.4,
        n_jobs=1,
        random_state=SEED,
    )
    boosted = xgboost.XGBRegressor(
        n_estimators=80,
        learning_rate=0.08,
        max_depth=4,
        min_child_weight=20,
        subsample=0.7,
        colsample_bytree=0.6,
        reg_lambda=5.0,
        tree_method="hist",
        max_bin=64,
        n_jobs=1,
        random_state=SEED,
    )
    learned, scored = {}, {}
    for name, model in {"random_forest": forest, "xgboost": boosted}.items():
        with failures.leave_out(name):
            model.fit(lessons.features[:, known], change, sample_weight=lessons.weight)
            learned[name] = model.predict(lessons.features[:, known]).astype(float)
            scored[name] = model.predict(x[:, known]).astype(float)
    if len(scored) == 2:
        learned["blend"] = (learned["random_forest"] + learned["xgboost"]) / 2
        scored["blend"] = (scored["random_forest"] + scored["xgboost"]) / 2
    units = {}
    for name, log_change in scored.items():
        said = _grown(lessons.before, learned[name]).sum()
        smear = lessons.units.sum() / said if said > 0 else 1.0
        units[name] = _grown(before, log_change)
        units[f"{name}_smeared"] = units[name] * smear
    return units


def _grown(before: np.ndarray, log_change: np.ndarray) -> np.ndarray:
    """Units before, and one more, changed by a logarithm; less that one."""
    return np.maximum(np.expm1(np.log1p(before) + log_change), 0)


def _test_established(shop: Shop, failures: Failures) -> pd.DataFrame:
    parts = []
    for days_ago in TEST_DAYS:
        day = shop.last - days_ago
        of = features.established(shop, day) if day >= HORIZON_DAYS else np.zeros(0, int)
        if len(of) < MIN_TEST:
            continue
        actual, price = shop.ahead(day)[of], shop.price(day)[of]
        for name, units in forecast_established(shop, day, of, failures).items():
            parts.append(_tested(name, actual, units, price))
    return _joined(parts)


def _test_new(shop: Shop, failures: Failures) -> pd.DataFrame:
    """Launches of the second to last 90 days, by what was over when those began."""
    train, test = _launches_apart(shop)
    if len(test.units) < MIN_TEST:
        return _joined([])
    price = np.exp(test.features[:, features.LAUNCH_FEATURES.index("log_price")])
    return _joined(
        [
            _tested(name, test.units, units, price)
            for name, units in forecast_new(train, test, failures).items()
        ]
    )


def _launches_apart(shop: Shop) -> tuple[Launches, Launches]:
    """Those to learn from, and those of the 90 days after them to be compared on."""
    found = features.launches(shop)
    began = shop.last - 2 * HORIZON_DAYS
    train = found.part(found.day + HORIZON_DAYS - 1 <= began)
    test = found.part((found.day > began) & np.isfinite(found.units) & np.isfinite(found.baseline))
    return train, test


def _predict_established(model: Model) -> pd.DataFrame:
    shop, day = model.shop, model.shop.last
    of = features.established(shop, day)
    of = of[shop.is_active[of]]
    if not len(of):
        return pd.DataFrame()
    return _predicted("established", model, of, forecast_established(shop, day, of, Failures()))


def _predict_new(model: Model) -> pd.DataFrame:
    """Products launched within `NEW_DAYS`, or to be launched in the next 90 days."""
    shop = model.shop
    found = features.launches(shop)
    is_new = (found.day > shop.last - features.NEW_DAYS) & shop.is_active[found.product]
    score = found.part(is_new & np.isfinite(found.baseline))
    if not len(score.product):
        return pd.DataFrame()
    train = found.part(np.isfinite(found.units))
    return _predicted("new", model, score.product, forecast_new(train, score, Failures()))


def _predicted(
    group: str, model: Model, of: np.ndarray, found: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Rows of a group; the baseline's where its champion could not be fitted today."""
    name = model.champions[group] if model.champions[group] in found else BASELINE[group]
    units, spread = found[name], model.spread[group]
    low, high = spread if spread and name == model.champions[group] else (np.nan, np.nan)
    return pd.DataFrame(
        {
            "place": of,
            "product_group": group,
            "model": name,
            "units": units,
            "lo80": np.minimum(np.maximum(np.expm1(np.log1p(units) + low), 0), units),
            "hi80": np.maximum(np.expm1(np.log1p(units) + high), units),
            "baseline_units": found[BASELINE[group]],
        }
    )


def _tested(name: str, actual: np.ndarray, units: np.ndarray, price: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"model": name, "actual": actual, "units": units, "price": price})


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["model", "actual", "units", "price"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _measures(tested: pd.DataFrame) -> pd.DataFrame:
    rows = []
    full = tested.groupby("model").size().max() if len(tested) else 0
    for name, part in tested.groupby("model", sort=True):
        if len(part) < full:
            continue  # could not be fitted on every day: no fair comparison
        actual, units = part["actual"].to_numpy(float), part["units"].to_numpy(float)
        price = part["price"].fillna(0).to_numpy(float)
        measured = {
            "wape": evaluation.wape(actual, units),
            "bias": evaluation.bias(actual, units),
            "mae": evaluation.mae(actual, units),
            "revenue_wape": evaluation.wape(actual * price, units * price),
            "spearman": float(part["actual"].corr(part["units"], method="spearman")),
        }
        rows += [(name, metric, value, len(part)) for metric, value in measured.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "n"])


def _spread(tested: pd.DataFrame, champion: str) -> tuple[float, float] | None:
    part = tested[tested["model"] == champion]
    if len(part) < MIN_TEST:
        return None
    error = np.log1p(part["actual"].to_numpy(float)) - np.log1p(part["units"].to_numpy(float))
    tail = (1 - INTERVAL) / 2
    return float(np.quantile(error, tail)), float(np.quantile(error, 1 - tail))
